"""A server leaves its pool while it works, and is back: nothing that it does is lost from sight.

Probes that fail once and rollouts that are taken back do this.
https://github.com/kubernetes/kubernetes/issues/110302 https://github.com/envoyproxy/gateway/issues/4685
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import yaml

from processes.plan import HOST
from tests.e2e.stack import Stack, held_answers, wait_until
from tests.e2e.test_requests import chat

QWEN = "Qwen/Qwen3-32B"
# Few enough that the two other servers have room for more, however they are spread.
STREAMS = 6


def endpoint(stack: Stack, port: int) -> dict[str, Any]:
    """What the picker shows of a model server; nothing where it does not."""
    pools = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug/pools").json()["pools"]
    found = [each for pool in pools for each in pool["endpoints"] if each["endpoint"].endswith(f":{port}")]
    return found[0] if found else {}


@contextmanager
def terminating(stack: Stack, port: int) -> Iterator[None]:
    """While the body runs, a server's slice says that it terminates."""
    file = stack.settings.config_dirs[-1] / "endpoints.yaml"
    before = file.read_text()
    slices = yaml.safe_load(before)
    (slice_,) = [each for each in slices["items"] if each["ports"][0]["port"] == port]
    slice_["endpoints"][0]["conditions"] = {"terminating": True}
    file.write_text(yaml.safe_dump(slices))
    try:
        yield
    finally:
        file.write_text(before)


def stream(stack: Stack, number: int) -> bool:
    """One streamed answer; whether it came whole."""
    body = chat(QWEN, f"Stream {number}", stream=True, max_tokens=200, ignore_eos=True)
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=body, timeout=120)
    return "data: [DONE]" in answer.text


def test_a_server_that_terminates_drains_in_sight_and_keeps_its_requests_when_it_is_back(processes: Stack) -> None:
    port = processes.settings.ports.simulators[0]
    with ThreadPoolExecutor(STREAMS) as threads:
        with held_answers(processes, 10):
            answers = [threads.submit(stream, processes, number) for number in range(STREAMS)]
            wait_until(lambda: endpoint(processes, port).get("in_flight", 0) > 0, 20)
            with terminating(processes, port):
                wait_until(lambda: endpoint(processes, port).get("standing") == "draining", 20)
                held = endpoint(processes, port)["in_flight"]
                assert held > 0
                for number in range(6):
                    body = chat(QWEN, f"Elsewhere {number}", max_tokens=4)
                    answer = httpx.post(f"{processes.url}/v1/chat/completions", json=body, timeout=60)
                    assert answer.headers["x-inference-port"] != str(port)
            wait_until(lambda: endpoint(processes, port).get("standing") == "good", 20)
            assert endpoint(processes, port)["in_flight"] == held
        assert all(answer.result() for answer in answers)
    wait_until(lambda: endpoint(processes, port)["in_flight"] == 0, 20)
