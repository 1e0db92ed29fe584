"""The control plane serves the Gateways of its class and writes status, beside other controllers and others like it."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import seed
from tests.cluster.conftest import eventually, kubectl, put
from tests.conftest import ROOT, free_ports

CONTROLLER = "pointsman.dev/controlplane"
QUIET_SECONDS = 3  # a controller writes within a fraction of a second
GROUP = "gateway.networking.k8s.io"


def gateway(class_name: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Gateway",
        "metadata": {"name": "gateway"},
        "spec": {"gatewayClassName": class_name, "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }


def gateway_class(name: str, controller: str) -> dict[str, Any]:
    spec = {"controllerName": controller}
    return {"apiVersion": f"{GROUP}/v1", "kind": "GatewayClass", "metadata": {"name": name}, "spec": spec}


ROUTE: dict[str, Any] = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "route"},
    "spec": {
        "parentRefs": [{"name": "gateway"}],
        "rules": [
            {"backendRefs": [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": seed.POOL}]}
        ],
    },
}


def status(namespace: str, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("-n", namespace, "get", kind, name, "-o", "json")).get("status", {})
    return found


def own_parents(namespace: str, kind: str, name: str) -> list[dict[str, str]]:
    """Our entries of a status, each by the reasons of its conditions."""
    parents = status(namespace, kind, name).get("parents", ())
    return [
        {each["type"]: each["reason"] for each in parent["conditions"]}
        for parent in parents
        if parent.get("controllerName") == CONTROLLER
    ]


@contextmanager
def controller(folder: Path) -> Iterator[int]:
    """A control plane of the cluster; the port of its operators."""
    http, xds = free_ports(2)
    command = [str(ROOT / ".venv/bin/controlplane"), "run", "--source", "cluster", "--xds", "grpc", "--no-bbr"]
    ports = ["--xds-port", str(xds), "--http-port", str(http), "--listen-address", "10.99.0.1"]
    folder.mkdir()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, *ports], stderr=log, env=os.environ)
        try:
            yield http
        finally:
            process.terminate()
            process.wait(60)


def test_status_is_written_beside_that_of_others_and_goes_with_the_gateway(namespace: str, tmp_path: Path) -> None:
    ours, others = f"{namespace}-ours", f"{namespace}-others"
    put(namespace, gateway_class(ours, CONTROLLER), gateway_class(others, "other.dev/controller"))
    put(namespace, gateway(ours), ROUTE, seed.pool(), seed.service())
    entry = {
        "parentRef": {"group": GROUP, "kind": "Gateway", "name": "else"},
        "controllerName": "other.dev/controller",
        "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
             "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ],
    }  # fmt: skip
    patch = json.dumps({"status": {"parents": [entry]}})
    kubectl("-n", namespace, "patch", "httproute", "route", "--subresource=status", "--type=merge", "-p", patch)
    try:
        with controller(tmp_path / "one"):
            eventually(lambda: own_parents(namespace, "httproute", "route") == [
                {"Accepted": "Accepted", "ResolvedRefs": "ResolvedRefs"}
            ], lambda: status(namespace, "httproute", "route"))  # fmt: skip
            eventually(lambda: len(own_parents(namespace, "inferencepool", seed.POOL)) == 1)
            eventually(lambda: [each["reason"] for each in status("default", "gatewayclass", ours).get("conditions", ())
                                if each["type"] == "Accepted"] == ["Accepted"])  # fmt: skip
            assert entry in status(namespace, "httproute", "route")["parents"]
            found = status(namespace, "gateway", "gateway")
            assert {each["type"]: each["observedGeneration"] for each in found["conditions"]}["Accepted"] == 1

            put(namespace, gateway(others))  # another controller's from now on
            eventually(lambda: own_parents(namespace, "httproute", "route") == [])
            eventually(lambda: own_parents(namespace, "inferencepool", seed.POOL) == [])
            assert status(namespace, "httproute", "route")["parents"] == [entry]
    finally:
        kubectl("delete", "gatewayclass", ours, others)


def test_two_controllers_agree_and_then_write_no_more(namespace: str, tmp_path: Path) -> None:
    ours = f"{namespace}-ours"
    put(namespace, gateway_class(ours, CONTROLLER), gateway(ours), ROUTE, seed.pool(), seed.service())
    try:
        with controller(tmp_path / "first") as first, controller(tmp_path / "second") as second:
            eventually(lambda: is_ready(first) and is_ready(second))
            put(namespace, {**ROUTE, "spec": {**ROUTE["spec"], "hostnames": ["models.example"]}})
            eventually(lambda: observed(namespace) == {2}, lambda: status(namespace, "httproute", "route"))
            time.sleep(QUIET_SECONDS)
            before = versions(namespace)
            time.sleep(QUIET_SECONDS)
            assert versions(namespace) == before
        with controller(tmp_path / "third") as third:
            eventually(lambda: is_ready(third))
            time.sleep(QUIET_SECONDS)
            assert versions(namespace) == before, "one that starts anew changes nothing"
    finally:
        kubectl("delete", "gatewayclass", ours)


def observed(namespace: str) -> set[int]:
    """Generations of the route that our entries are about."""
    parents = status(namespace, "httproute", "route").get("parents", ())
    return {each["observedGeneration"] for parent in parents for each in parent["conditions"]}


def versions(namespace: str) -> str:
    """Every write changes one."""
    return kubectl(
        "-n",
        namespace,
        "get",
        "gateways,httproutes,inferencepools",
        "-o",
        "custom-columns=:.kind,:.metadata.resourceVersion",
    )


def is_ready(port: int) -> bool:
    done = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{port}/readyz"], capture_output=True, text=True)
    return done.stdout == "ready\n"
