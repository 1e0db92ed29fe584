"""`python -m tests.conformance`: the Inference Extension's conformance suite against our controller, as images in a
cluster: once with the suite's own picker and once with ours in its place. `make conformance` calls it.

Everything that it brings into the cluster goes again but images, and the suite's picker has its name back. Exit status
1: a test failed.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.conformance.cluster import HELM, ROOT, Cluster, cluster, run

NAME: Final = "pointsman-conformance"
IMAGES: Final = ("controlplane", "bbr", "epp")
FOLDER: Final = ROOT / "tests" / "conformance"
# The suite's picker answers body messages without a body, and in full duplex nothing goes on by itself. Released as
# 1.6.0, corrected since.
BODY_OF_THEIRS: Final = "streamed"


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser("tests.conformance", description="Run the Inference Extension's suite.")
    parser.add_argument("--suite", required=True, metavar="VERSION", help="of the Inference Extension, such as v1.6.0")
    parser.add_argument("--implementation", required=True, metavar="VERSION", help="of the project, for the report")
    parser.add_argument("--picker", choices=("theirs", "ours", "both"), default="both")
    parser.add_argument("--hub", default="localhost/pointsman", help="of the images, whose tag is `conformance`")
    given = parser.parse_args(argv)
    found = cluster()
    found.load([f"{given.hub}/{name}:conformance" for name in IMAGES])
    theirs = f"registry.k8s.io/gateway-api-inference-extension/lwepp:{given.suite}"
    reports = ROOT / "docs" / "conformance" / given.suite / "gateway" / "pointsman"
    reports.mkdir(parents=True, exist_ok=True)
    failed = []
    if given.picker != "ours":
        with installed(found, given.hub, BODY_OF_THEIRS):
            report = reports / f"{given.implementation}-default-gateway-report.yaml"
            failed.append(suite(found, given.implementation, report))
    if given.picker != "theirs":
        with installed(found, given.hub), replaced(found, theirs, given.hub):
            report = reports / f"{given.implementation}-own-picker-gateway-report.yaml"
            failed.append(suite(found, given.implementation, report))
    return int(any(failed))


@contextmanager
def installed(found: Cluster, hub: str, body: str = "") -> Iterator[None]:
    """Our controller, by its chart; `body` is how pickers get the body of a request, by default as the protocol has
    it."""
    values = {
        "images.hub": hub,
        "images.tag": "conformance",
        "envoy.serviceType": "ClusterIP",
        "gateway.create": "false",
        "gatewayClass.name": NAME,
        **({"controlplane.flags.picker-body": body} if body else {}),
    }
    flags = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    release = ["pointsman", str(ROOT / "charts" / "pointsman"), "--namespace", NAME, "--create-namespace", "--wait"]
    try:
        found.run(str(HELM), "upgrade", "--install", *release, *flags)
        yield
    finally:
        found.run(str(HELM), "uninstall", "pointsman", "--namespace", NAME, "--ignore-not-found", "--wait")
        found.run("kubectl", "delete", "namespace", NAME, "--ignore-not-found")


@contextmanager
def replaced(found: Cluster, theirs: str, hub: str) -> Iterator[None]:
    """Our picker under the name of the suite's."""
    ours, kept = f"{hub}/epp:suite", f"{hub}/suite-picker:kept"
    picker = ("--build-arg", f"PICKER={hub}/epp:conformance", "--file", str(FOLDER / "picker.Dockerfile"))
    run("docker", "build", "--quiet", *picker, "--tag", ours, str(FOLDER))
    found.load([ours])
    found.tag(theirs, kept)
    try:
        found.tag(ours, theirs)
        yield
    finally:
        found.tag(kept, theirs)
        found.untag(kept)
        found.untag(ours)


def suite(found: Cluster, version: str, report: Path) -> bool:
    """Run the tests, with their own output; whether any failed."""
    implementation = {
        "organization": "pointsman",
        "project": "pointsman",
        "url": "https://pointsman.dev",
        "contact": "@pointsman/maintainers",
        "version": version,
    }
    described = [f"--{key}={value}" for key, value in implementation.items()]
    tests = ("-test.v", "-test.run=TestConformance", "-test.timeout=30m", f"--gateway-class={NAME}")
    return bool(found.stream("gie-conformance", *tests, *described, f"--report-output={report}"))


if __name__ == "__main__":
    sys.exit(main())
