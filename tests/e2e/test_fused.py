"""The router and the picker in one process: a body is handed over once, and again only where it changes."""

import httpx2 as httpx

from processes.plan import HOST
from tests.e2e.stack import Stack
from tests.e2e.test_requests import chat

QWEN = "Qwen/Qwen3-32B"


def messages(stack: Stack, processor: str) -> int:
    """What Envoy has sent to a processor so far."""
    url = f"http://{HOST}:{stack.settings.ports.envoy_admin}/stats?filter=ext_proc.{processor}.stream_msgs_sent$"
    return sum(int(line.rpartition(" ")[2]) for line in httpx.get(url).text.splitlines())


def model_and_messages(stack: Stack, **headers: str) -> tuple[str, int, int]:
    """The model that answers, and the messages to router and picker for one request."""
    before = messages(stack, "bbr"), messages(stack, "epp")
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=chat(QWEN), headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.json()["model"], messages(stack, "bbr") - before[0], messages(stack, "epp") - before[1]


def test_the_question_for_an_endpoint_has_no_body(fused_stack: Stack) -> None:
    headers_and_body, headers_both_ways = 2, 2
    assert model_and_messages(fused_stack) == (QWEN, headers_and_body, headers_both_ways)


def test_a_body_that_changes_is_asked_for_and_replaced(fused_stack: Stack) -> None:
    served, _, to_picker = model_and_messages(fused_stack, **{"x-gateway-model-name-rewrite": "food-review-1"})

    assert (served, to_picker) == ("food-review-1", 3)
