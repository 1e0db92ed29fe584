"""An answer too large to be read for usage reaches the client as the model server wrote it."""

import httpx2 as httpx
import pytest

from tests.e2e.stack import Stack
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
