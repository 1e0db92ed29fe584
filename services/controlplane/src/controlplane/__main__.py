"""`controlplane run | render | check | diff | status`: manifests in folders become what Envoy serves by."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from controlplane import app, commands
from controlplane.command_line import arguments, objects, options
from controlplane.deployment.authority import AuthorityError
from controlplane.options import Delivery
from gateway.kube.sources.cluster.credentials import CredentialsError
from gateway.kube.sources.opening import Folders, Origin
from gateway.service import access, lifecycle, logs


def main(argv: Sequence[str] | None = None) -> None:
    """Console script."""
    given = arguments(sys.argv[1:] if argv is None else argv)
    found = {
        "run": _run,
        "render": commands.once,
        "check": commands.check,
        "diff": commands.diff,
        "status": commands.status,
    }
    sys.exit(found[given.command](given))


def _run(given: argparse.Namespace) -> int:
    logs.configure("controlplane", given.log_level)
    try:
        token = access.token_in(given.operators_token_file)
    except access.TokenError as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return commands.UNABLE
    serving = app.Serving(
        objects=_objects(given),
        delivery=_delivery(given),
        host=given.host,
        http_port=given.http_port,
        options=options(given),
        operators_token=token,
        picker_pages=tuple(given.picker_page),
        lease=given.leader_election,
    )
    failures: list[BaseException] = []
    try:
        lifecycle.run(lambda stopping: app.serve_until(stopping, serving))
    except* (CredentialsError, AuthorityError, OSError) as errors:
        failures.extend(lifecycle.leaves(errors))
    for failure in failures:
        print(f"controlplane: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _objects(given: argparse.Namespace) -> Origin:
    found = objects(given)
    assert found is not None  # the command line was refused without
    return replace(found, is_strict=given.strict) if isinstance(found, Folders) else found


def _delivery(given: argparse.Namespace) -> app.Files | app.Grpc:
    if given.xds == Delivery.FILES:
        return app.Files(given.output_dir, given.envoy_admin)
    return app.Grpc(given.xds_host, given.xds_port, given.xds_cert_path)


if __name__ == "__main__":
    main()
