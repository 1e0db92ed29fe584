"""The controller on a real API server: an Envoy for each Gateway, kept as it is wanted, and gone with it."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.conftest import eventually, kubectl, put
from tests.cluster.test_controller import CONTROLLER, QUIET_SECONDS, gateway, gateway_class, is_ready, status
from tests.conftest import ROOT, free_ports

KINDS = "serviceaccounts,secrets,configmaps,services,deployments,poddisruptionbudgets"
NODE = "10.99.0.1"  # of the cluster, where this process is


@dataclass(frozen=True)
class Running:
    """A control plane, with the port of its operators."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def writes(self) -> int:
        """Objects that it has written."""
        return self.log.read_text().count("an object is kept")


@contextmanager
def controller(folder: Path, namespace: str, name: str = "controller", xds: int | None = None) -> Iterator[Running]:
    """A control plane outside of the cluster that deploys Envoys."""
    http, free = free_ports(2)
    xds = xds or free
    command = [str(ROOT / ".venv/bin/controlplane"), "run", "--source", "cluster", "--xds", "grpc", "--no-bbr"]
    deployed = ["--envoy-image", "example.invalid/envoy:none", "--xds-service", f"{namespace}/controller:{xds}"]
    election = ["--leader-election", f"{namespace}/controller"]
    at = ["--xds-host", NODE, "--xds-port", str(xds), "--http-port", str(http), "--envoy-service-type", "ClusterIP"]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([*command, *deployed, *election, *at], stderr=log, env=os.environ)
        try:
            yield Running(http, process, folder / f"{name}.log")
        finally:
            process.terminate()
            process.wait(60)


def deployed(namespace: str, class_name: str) -> set[str]:
    """Kinds of what stands under the Gateway's name."""
    found = kubectl("-n", namespace, "get", KINDS, "-o", "custom-columns=:.kind,:.metadata.name", "--no-headers")
    pairs = (line.split() for line in found.splitlines())
    return {kind for kind, name in pairs if name == f"gateway-{class_name}"}


def one(namespace: str, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("-n", namespace, "get", kind, name, "-o", "json"))
    return found


def generations(namespace: str) -> str:
    """Every change of what is wanted changes one; a Deployment's own controller writes its status alone."""
    columns = "custom-columns=:.metadata.uid,:.metadata.generation"
    found = kubectl("-n", namespace, "get", KINDS, "-o", columns)
    versions = "custom-columns=:.metadata.resourceVersion"
    return found + kubectl("-n", namespace, "get", "secrets,configmaps,services", "-o", versions)


def addresses(namespace: str) -> list[str]:
    return [each["value"] for each in status(namespace, "gateway", "gateway").get("addresses", ())]


def reasons(namespace: str) -> dict[str, str]:
    """Of the Gateway's conditions."""
    found = status(namespace, "gateway", "gateway").get("conditions", ())
    return {each["type"]: each["reason"] for each in found}


ALL = {"ServiceAccount", "Secret", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"}


def test_a_gateway_gets_its_objects_keeps_them_and_takes_them_with_it(namespace: str, tmp_path: Path) -> None:
    ours = f"{namespace}-ours"
    name = f"gateway-{ours}"
    (port,) = free_ports(1)
    put(namespace, gateway_class(ours, CONTROLLER), gateway(ours))
    try:
        with controller(tmp_path, namespace, xds=port) as running:
            eventually(lambda: deployed(namespace, ours) == ALL)
            address = one(namespace, "service", name)["spec"]["clusterIP"]
            eventually(lambda: addresses(namespace) == [address])
            assert reasons(namespace) == {"Accepted": "Accepted", "Programmed": "Pending"}, (
                "no Envoy has taken anything"
            )

            kubectl("-n", namespace, "scale", "deployment", name, "--replicas=0")
            kubectl("-n", namespace, "delete", "poddisruptionbudget", name)
            eventually(lambda: one(namespace, "deployment", name)["spec"]["replicas"] == 1)
            eventually(lambda: deployed(namespace, ours) == ALL)

            versions = generations(namespace)
            assert is_ready(running.port)
        with controller(tmp_path, namespace, "later", xds=port) as running:
            eventually(lambda: is_ready(running.port))
            time.sleep(QUIET_SECONDS)
            assert generations(namespace) == versions
            kubectl("-n", namespace, "delete", "gateway", "gateway")
            eventually(lambda: deployed(namespace, ours) == set())
    finally:
        kubectl("delete", "gatewayclass", ours)


def test_parameters_choose_the_service_and_one_that_exists_stands_for_all(namespace: str, tmp_path: Path) -> None:
    ours = f"{namespace}-ours"
    name = f"gateway-{ours}"
    parameters = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "p"},
        "data": {"serviceType": "NodePort"},
    }
    own = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "own"}, "spec": {"ports": [{"port": 80}]}}
    put(namespace, gateway_class(ours, CONTROLLER), parameters, own)
    try:
        with controller(tmp_path, namespace):
            put(namespace, with_parameters(gateway(ours), "ConfigMap", "p"))
            eventually(lambda: deployed(namespace, ours) == ALL)
            assert one(namespace, "service", name)["spec"]["type"] == "NodePort"

            put(namespace, with_parameters(gateway(ours), "ConfigMap", "missing"))
            eventually(lambda: [*reasons(namespace).values()] == ["InvalidParameters", "Invalid"])
            assert deployed(namespace, ours) == ALL, "what serves goes on"

            put(namespace, with_parameters(gateway(ours), "Service", "own"))
            eventually(lambda: deployed(namespace, ours) == set())
            address = one(namespace, "service", "own")["spec"]["clusterIP"]
            eventually(lambda: addresses(namespace) == [address])
    finally:
        kubectl("delete", "gatewayclass", ours)


def with_parameters(found: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    infrastructure = {"parametersRef": {"group": "", "kind": kind, "name": name}, "labels": {"team": "a"}}
    return {**found, "spec": {**found["spec"], "infrastructure": infrastructure}}


def test_of_another_controllers_gateway_nothing_is_touched(namespace: str, tmp_path: Path) -> None:
    others = f"{namespace}-others"
    theirs = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "theirs", "labels": {"app.kubernetes.io/managed-by": "pointsman"}},
    }  # fmt: skip
    put(namespace, gateway_class(others, "other.dev/controller"), gateway(others), theirs)
    try:
        with controller(tmp_path, namespace) as running:
            eventually(lambda: is_ready(running.port))
            assert deployed(namespace, others) == set()
            assert one(namespace, "configmap", "theirs")
            assert addresses(namespace) == []
    finally:
        kubectl("delete", "gatewayclass", others)


def test_of_two_controllers_one_writes_and_the_other_goes_on_where_it_was_killed(
    namespace: str, tmp_path: Path
) -> None:
    ours = f"{namespace}-ours"
    (port,) = free_ports(1)
    put(namespace, gateway_class(ours, CONTROLLER))
    try:
        with controller(tmp_path, namespace, "first", xds=port) as first:
            eventually(lambda: holder(namespace) != "")
            elected = holder(namespace)
            with controller(tmp_path, namespace, "second", xds=free_ports(1)[0]) as second:
                eventually(lambda: is_ready(first.port) and is_ready(second.port))
                put(namespace, gateway(ours))
                eventually(lambda: "ServiceAccount" in deployed(namespace, ours))
                first.process.kill()  # in the middle of the six objects, or shortly after
                assert (holder(namespace), second.writes) == (elected, 0)
                eventually(lambda: holder(namespace) not in ("", elected))
                eventually(lambda: deployed(namespace, ours) == ALL)
                eventually(lambda: second.writes > 0)
            assert holder(namespace) == "", "one that ends gives it up"
    finally:
        kubectl("delete", "gatewayclass", ours)


def holder(namespace: str) -> str:
    """Of the Lease; empty for nobody."""
    found = kubectl("-n", namespace, "get", "leases", "-o", "jsonpath={.items[*].spec.holderIdentity}")
    return found.strip()
