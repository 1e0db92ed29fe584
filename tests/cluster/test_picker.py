"""The endpoint picker follows a real API server, with the arguments and rights of a public Deployment."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.cluster import seed
from tests.cluster.conftest import DEFINITIONS, Service, account, eventually, kubectl, put, running
from tests.unit.epp.seed import SEED

DOWN_SECONDS = 5  # long enough for three attempts in vain
OBJECTIVES = "inferenceobjectives.inference.networking.x-k8s.io"


def addresses(namespace: str, app: str = "inference-model-server") -> set[str]:
    """Of the Pods that are Ready and stay, as kubectl shows them."""
    items = json.loads(kubectl("-n", namespace, "get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
    return {
        pod["status"]["podIP"]
        for pod in items
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
    }


@contextmanager
def picker(namespace: str, folder: Path) -> Iterator[Service]:
    """Started with the document's arguments."""
    file = folder / "default-plugins.yaml"
    file.write_text(SEED)
    arguments = (
        "--pool-name", seed.POOL, "--pool-namespace", namespace, "--v", "4", "--zap-encoder", "json",
        "--config-file", str(file),
    )  # fmt: skip
    with running(folder, "epp", *arguments, kubeconfig=account(namespace, folder)) as service:
        yield service


def follows(service: Service, namespace: str, count: int, app: str = "inference-model-server") -> None:
    """Wait until the picker knows the Pods that are Ready, which are so many."""

    def agrees() -> bool:
        found = service.endpoints(f"{namespace}/{seed.POOL}")
        return len(found) == count and found == addresses(namespace, app)

    eventually(agrees, lambda: (service.endpoints(f"{namespace}/{seed.POOL}"), service.file.read_text()))


def put_ready(namespace: str, address: str) -> None:
    """A Pod that is Ready at an address."""
    name = f"pod-{address.replace('.', '-')}"
    put(namespace, seed.pod(name))
    ready = [{"type": "Ready", "status": "True"}]
    status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": ready}}
    kubectl("-n", namespace, "patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))


def knows(service: Service, namespace: str, *expected: str) -> None:
    """Wait until the picker knows these addresses."""
    pool = f"{namespace}/{seed.POOL}"
    eventually(lambda: service.endpoints(pool) == set(expected), lambda: (service.endpoints(pool), service.log()[-5:]))


def test_the_documents_deployment_and_role_are_enough(namespace: str, tmp_path: Path) -> None:
    put(namespace, *seed.rights(namespace), seed.pool(), seed.deployment())
    with picker(namespace, tmp_path) as service:
        follows(service, namespace, 3)
        assert service.is_ready

        kubectl("-n", namespace, "scale", "deployment", "inference-model-server", "--replicas=5")
        follows(service, namespace, 5)
        kubectl("-n", namespace, "scale", "deployment", "inference-model-server", "--replicas=1")
        follows(service, namespace, 1)

        refused = [(line["verb"], line["resource"]) for line in service.log() if line.get("phase") == "forbidden"]
        assert sorted(refused) == [
            ("list", "configmaps"),
            ("list", "inferencemodelrewrites.inference.networking.x-k8s.io"),
            ("list", "inferencemodelrewrites.llm-d.ai"),
            ("list", "inferencemodels.inference.networking.x-k8s.io"),
            ("list", "inferenceobjectives.llm-d.ai"),
            ("list", "quotapolicies.aigateway.envoyproxy.io"),
        ], "each once"


def test_a_pool_with_another_selector_has_other_endpoints(namespace: str, tmp_path: Path) -> None:
    put(namespace, *seed.rights(namespace), seed.pool(), seed.deployment(), seed.deployment("other", 2))
    with picker(namespace, tmp_path) as service:
        follows(service, namespace, 3)

        put(namespace, seed.pool("other"))
        follows(service, namespace, 2, "other")


def test_a_pool_that_comes_later_makes_the_picker_ready_and_it_stays_so(namespace: str, tmp_path: Path) -> None:
    put(namespace, *seed.rights(namespace), seed.deployment(replicas=1))
    with picker(namespace, tmp_path) as service:
        eventually(lambda: "the API server answers" in service.file.read_text())
        assert not service.is_ready

        put(namespace, seed.pool())
        follows(service, namespace, 1)
        assert service.is_ready
        kubectl("-n", namespace, "delete", "inferencepool", seed.POOL)
        eventually(lambda: any(line["event"] == "pool removed" for line in service.log()))
        assert service.is_ready


def test_a_right_that_is_taken_away_leaves_the_endpoints_as_they_were(namespace: str, tmp_path: Path) -> None:
    put(namespace, *seed.rights(namespace), seed.pool())
    put_ready(namespace, "10.1.0.1")
    with picker(namespace, tmp_path) as service:
        knows(service, namespace, "10.1.0.1")

        kubectl("-n", namespace, "delete", "rolebinding", "inference-model-reader")
        restart_api_server()  # so that what is watched is asked for again
        eventually(lambda: any(line.get("resource") == "pods" for line in service.log()), service.file.read_text)
        knows(service, namespace, "10.1.0.1")
        assert service.is_ready

        put(namespace, *seed.rights(namespace))
        put_ready(namespace, "10.1.0.2")
        knows(service, namespace, "10.1.0.1", "10.1.0.2")


def test_a_definition_that_goes_and_comes_back_is_noticed_without_a_restart(namespace: str, tmp_path: Path) -> None:
    put(namespace, *seed.rights(namespace), seed.pool(), seed.deployment(replicas=1), seed.objective(3))
    (definition,) = (
        each for each in yaml.safe_load_all(DEFINITIONS.read_text()) if each["metadata"]["name"] == OBJECTIVES
    )
    with picker(namespace, tmp_path) as service:
        follows(service, namespace, 1)
        try:
            kubectl("delete", "crd", OBJECTIVES)
            eventually(lambda: phase(service, OBJECTIVES) == "missing", service.file.read_text)
            assert service.endpoints(f"{namespace}/{seed.POOL}") == addresses(namespace)
        finally:
            put("default", definition)
            kubectl("wait", "--for=condition=Established", f"crd/{OBJECTIVES}", "--timeout=60s")
        eventually(lambda: phase(service, OBJECTIVES) == "following", service.file.read_text)


def test_an_api_server_that_is_gone_costs_nothing_that_is_known(namespace: str, tmp_path: Path) -> None:
    put(namespace, *seed.rights(namespace), seed.pool())
    put_ready(namespace, "10.1.0.1")
    with picker(namespace, tmp_path) as service:
        knows(service, namespace, "10.1.0.1")

        restart_api_server()
        eventually(lambda: has_been_lost(service), service.file.read_text)
        knows(service, namespace, "10.1.0.1")
        assert service.is_ready
        put_ready(namespace, "10.1.0.2")
        knows(service, namespace, "10.1.0.1", "10.1.0.2")

        changes = [line["event"] for line in service.log() if "the API server" in line["event"] and "phase" not in line]
        assert changes == [
            "the API server answers",
            "the API server is not reached; what was read stays in force",
            "the API server answers",
        ]
        assert [line for line in service.log() if line["event"] == "endpoints changed" and line["left"]] == []


def phase(service: Service, resource: str) -> str:
    """How it stands with a resource, as the metrics show it."""
    lines = service.get("/metrics").splitlines()
    found = [line for line in lines if line.startswith("pointsman_api_server_watches{") and f'"{resource}"' in line]
    return next((line.partition('phase="')[2].partition('"')[0] for line in found if not line.endswith(" 0.0")), "")


def has_been_lost(service: Service) -> bool:
    return 'pointsman_api_server_changes_total{state="lost"} 1' in service.get("/metrics")


def restart_api_server() -> None:
    """End it at once, and start it again with the same arguments."""
    file = Path("/run") / os.environ.get("K8S_NETNS", "pointsman-k8s") / "kube-apiserver.pid"
    pid = int(file.read_text())
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    os.kill(pid, signal.SIGKILL)
    time.sleep(DOWN_SECONDS)
    # By a shell that ends: the server is the cluster's, and no child of the tests.
    started = subprocess.run(
        ["sh", "-c", 'setsid "$@" >/dev/null 2>&1 </dev/null & echo $!', "sh", *command],
        capture_output=True,
        check=True,
    )
    file.write_text(started.stdout.decode())
    eventually(lambda: subprocess.run(["kubectl", "get", "--raw", "/readyz"], capture_output=True).returncode == 0)
