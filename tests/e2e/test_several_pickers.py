"""Two pickers behind one route, and Redis between them: what they learn together, and what the death of one costs."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

from processes import plan
from processes.plan import HOST
from tests.conftest import free_ports
from tests.e2e.stack import PORT_COUNT, Stack, free_stack_ports, process_stack, wait_until
from tests.e2e.test_requests import chat

CLIENTS = 6
MODEL = "Qwen/Qwen3-32B"  # of a pool that fails open


def test_two_pickers_share_what_they_learn_and_one_that_is_killed_costs_no_request(
    root: Path, envoy_binary: Path, redis_binary: Path, tmp_path: Path
) -> None:
    """A second picker joins behind the same route; Redis carries the prefixes between them."""
    ports, second = (free_stack_ports(free_ports(PORT_COUNT)) for _ in range(2))
    redis_port = free_ports(1)[0]
    redis = plan.Process("redis", (str(redis_binary), "--port", str(redis_port), "--bind", HOST, "--save", ""), "")
    url = f"redis://{HOST}:{redis_port}/0"
    with process_stack(root, tmp_path / "two", envoy_binary, ports, redis_url=url) as stack:
        stack.start(redis, wait=False)
        stack.start(plan.epp(stack.settings, name="epp-2", ports=second))
        add_picker(stack, second.epp_grpc)
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            wait_until(lambda: ask(client, "warm up") and picks(second) > 0, 20)
            before = picks(ports), picks(second)
            pods = {ask(client, f"{'The same long preface for both pickers. ' * 60}{number}") for number in range(12)}

        assert len(pods) == 1
        assert picks(ports) > before[0]
        assert picks(second) > before[1]

        with clients(stack) as statuses:
            wait_until(lambda: len(statuses) > 50, 60)
            victim = stack.running["epp-2"].popen
            victim.kill()
            victim.wait()
            killed = len(statuses)
            wait_until(lambda: len(statuses) > killed + 200, 60)
        assert set(statuses) == {200}
        wait_until(lambda: shown(ports, "pointsman_epp_others_in_flight_requests") == 0, 20)


def ask(client: httpx.Client, content: str) -> str:
    """The server that answered; long enough ago, when this returns, that every picker knows of it."""
    answer = client.post("/v1/chat/completions", json=chat(MODEL, content))
    time.sleep(0.2)
    return str(answer.raise_for_status().headers["x-inference-pod"])


def add_picker(stack: Stack, port: int) -> None:
    """Add an EndpointSlice for the picker's Service with a second address."""
    (stack.settings.config_dirs[-1] / "second.yaml").write_text(f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: epp-2, labels: {{kubernetes.io/service-name: epp}}}}
addressType: IPv4
endpoints: [{{addresses: ["{HOST}"]}}]
ports: [{{name: grpc, port: {port}}}]
""")


def picks(ports: plan.Ports) -> float:
    """How many requests a picker has scheduled."""
    return shown(ports, "inference_extension_scheduler_attempts_total")


@contextmanager
def clients(stack: Stack) -> Iterator[list[int]]:
    """Clients that ask one request after the other; the statuses of the answers."""
    statuses: list[int] = []
    done = threading.Event()

    def send_on() -> None:
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            while not done.is_set():
                statuses.append(client.post("/v1/chat/completions", json=chat(MODEL, max_tokens=1)).status_code)

    threads = [threading.Thread(target=send_on) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()


def shown(ports: plan.Ports, name: str) -> float:
    """A figure of a picker, over all pools."""
    lines = httpx.get(f"http://{HOST}:{ports.epp_metrics}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))
