"""Names that clients invent are labels of their own: those of models, objectives and adapters keep their series."""

import time

import httpx2 as httpx

from processes.plan import HOST
from tests.e2e.stack import Stack, wait_until
from tests.e2e.test_requests import chat

QWEN = "Qwen/Qwen3-32B"


def test_labels_that_clients_invent_cost_no_model_its_series(processes: Stack) -> None:
    url = f"{processes.url}/v1/chat/completions"
    for number in range(60):
        headers = {"x-gateway-inference-fairness-id": f"tenant-{number}-{time.time_ns()}"}
        httpx.post(url, json=chat(QWEN, "Hello", max_tokens=1), headers=headers, timeout=30)
    metrics = f"http://{HOST}:{processes.settings.ports.epp_metrics}/metrics"

    def shown() -> str:
        return httpx.get(metrics).text

    wait_until(lambda: f'model_name="{QWEN}"' in shown(), 10)
    assert 'fairness_id="other"' in shown()
    assert len(shown()) < 1_000_000
