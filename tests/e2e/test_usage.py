"""An answer too large to be read for usage reaches the client as the model server wrote it; and the bill adds up."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from processes.plan import HOST
from tests.conftest import free_ports
from tests.e2e.stack import PORT_COUNT, Stack, completes, free_stack_ports, process_stack, wait_until
from tests.e2e.test_requests import MEGABYTE

DIMENSIONS = 16384  # about 350 KB of numbers an input


@pytest.mark.parametrize(("inputs", "megabytes"), [(2, 0), (64, 20)], ids=["small", "large"])
def test_a_batch_of_embeddings_passes_whatever_its_size(processes: Stack, inputs: int, megabytes: int) -> None:
    """The second is larger than what is read; those beyond every buffer are contract tests."""
    body = {"model": "Qwen/Qwen3-32B", "input": [f"text {index}" for index in range(inputs)], "dimensions": DIMENSIONS}

    answer = httpx.post(f"{processes.url}/v1/embeddings", json=body, timeout=120)

    assert answer.status_code == 200
    assert len(answer.content) > megabytes * MEGABYTE
    assert [len(item["embedding"]) for item in answer.json()["data"]] == [DIMENSIONS] * inputs


MODEL = "phi-4-mini-instruct"
KINDS = {"prompt": "vllm:prompt_tokens_total", "completion": "vllm:generation_tokens_total"}


def billed(stack: Stack) -> Mapping[str, float]:
    """As an operator asks for it."""
    url = f"http://{HOST}:{stack.settings.ports.epp_metrics}"
    command = [str(stack.settings.layout.binaries / "pointsman"), "usage", "--url", url, "--by", "model", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
    return next((row for row in found if row["model"] == MODEL), dict.fromkeys(KINDS, 0))


def counted(stack: Stack) -> Mapping[str, float]:
    """By the engines."""
    texts = [httpx.get(f"http://{HOST}:{port}/metrics").text for port in stack.settings.ports.simulators]
    wanted = {
        kind: re.compile(rf'^{name}{{[^}}]*model_name="{MODEL}"[^}}]*}} (\S+)$', re.MULTILINE)
        for kind, name in KINDS.items()
    }
    return {kind: sum(float(each) for text in texts for each in line.findall(text)) for kind, line in wanted.items()}


def ask(stack: Stack, number: int) -> None:
    words: dict[str, object] = {"model": MODEL, "prompt": f"{number} " * 60, "max_tokens": 40, "ignore_eos": True}
    words["stream"] = number % 2 == 0
    assert httpx.post(f"{stack.url}/v1/completions", json=words, timeout=60).status_code == 200


def leave(stack: Stack, number: int) -> None:
    """Read a stream of 200 tokens until the tenth, and go."""
    words = {"model": MODEL, "prompt": f"leaves {number} " * 30, "max_tokens": 200, "stream": True, "ignore_eos": True}
    with httpx.stream("POST", f"{stack.url}/v1/completions", json=words, timeout=60) as answer:
        events = 0
        for line in answer.iter_lines():
            events += line.startswith("data:")
            if events == 10:
                return


@pytest.fixture(scope="module")
def paced(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose engines make one token after the other, so that a client that leaves gets a part."""
    ports = free_stack_ports(free_ports(PORT_COUNT))
    profile = str(root / "tests" / "data" / "patient.yaml")
    run = tmp_path_factory.mktemp("bill")
    with process_stack(root, run, envoy_binary, ports, picker="http", simulator_profile=profile) as stack:
        yield stack


def test_the_bill_is_what_the_engines_counted_with_clients_that_leave_and_a_picker_that_restarts(paced: Stack) -> None:
    stack = paced
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda number: ask(stack, number), range(30)))
        list(pool.map(lambda number: leave(stack, number), range(4)))
        picker = stack.running["epp"]
        assert picker.terminate() == 0
        stack.start(picker.process)
        wait_until(lambda: completes(stack), 60)
        list(pool.map(lambda number: ask(stack, number), range(30, 60)))

    def agrees(kind: str) -> bool:
        ours, engines = billed(stack)[kind], counted(stack)[kind]
        return engines > 0 and abs(ours - engines) <= 0.01 * engines

    wait_until(lambda: agrees("prompt") and agrees("completion"), 30, lambda: f"{billed(stack)}, but {counted(stack)}")
    found = billed(stack)
    assert found["requests"] >= 64
    assert found["estimated"] >= 4
    assert found["gpu_seconds"] > 0
