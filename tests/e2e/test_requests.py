"""What a client sees, through processes and through containers alike."""

import gzip
import json
import time
from collections.abc import Iterator

import httpx2 as httpx
import pytest

MODELS = ("Qwen/Qwen3-32B", "food-review-1", "code-assist", "phi-4-mini-instruct")
MEGABYTE = 1_000_000


def chat(model: str, content: str = "Hello", **fields: object) -> dict[str, object]:
    """The body of a chat completion."""
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 4} | fields


def events(response: httpx.Response) -> Iterator[str]:
    """The data of each server-sent event."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


def error(response: httpx.Response) -> dict[str, object]:
    """The error object, which must have OpenAI's four fields."""
    body = response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return dict(body)


@pytest.mark.parametrize("model", MODELS)
def test_a_chat_completion_is_answered_by_a_server_of_the_models_pool(gateway: httpx.Client, model: str) -> None:
    response = gateway.post("/v1/chat/completions", json=chat(model))

    assert response.status_code == 200
    assert response.json()["model"] == model
    assert response.json()["choices"][0]["message"]["content"]
    assert response.headers["x-inference-pod"]


@pytest.mark.parametrize("model", MODELS)
def test_a_completion_is_answered(gateway: httpx.Client, model: str) -> None:
    response = gateway.post("/v1/completions", json={"model": model, "prompt": "Once upon a time", "max_tokens": 4})

    assert response.status_code == 200
    assert response.json()["choices"][0]["text"]


@pytest.mark.parametrize("model", MODELS)
def test_a_streamed_chat_completion_arrives_event_by_event(gateway: httpx.Client, model: str) -> None:
    with gateway.stream("POST", "/v1/chat/completions", json=chat(model, stream=True)) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        received = list(events(response))

    assert received[-1] == "[DONE]"
    assert any(json.loads(event)["choices"] for event in received[:-1])


def test_a_streamed_completion_arrives_event_by_event(gateway: httpx.Client) -> None:
    body = {"model": "phi-4-mini-instruct", "prompt": "Once", "max_tokens": 4, "stream": True}

    with gateway.stream("POST", "/v1/completions", json=body) as response:
        received = list(events(response))

    assert received[-1] == "[DONE]"
    assert len(received) > 2


def test_the_two_models_are_served_by_different_servers(gateway: httpx.Client) -> None:
    def pods(model: str) -> set[str]:
        answers = (gateway.post("/v1/chat/completions", json=chat(model, f"question {i}")) for i in range(8))
        return {answer.headers["x-inference-pod"] for answer in answers}

    assert pods("Qwen/Qwen3-32B").isdisjoint(pods("phi-4-mini-instruct"))


def test_the_model_list_names_models_and_adapters_of_all_pools(gateway: httpx.Client) -> None:
    body = gateway.get("/v1/models").raise_for_status().json()

    assert body["object"] == "list"
    assert {item["id"] for item in body["data"]} >= set(MODELS)
    assert all(item["object"] == "model" and "created" in item and "owned_by" in item for item in body["data"])


@pytest.mark.parametrize("path", ["/v1/models/Qwen/Qwen3-32B", "/v1/models/Qwen%2FQwen3-32B/"])
def test_one_model_is_shown_as_the_list_shows_it(gateway: httpx.Client, path: str) -> None:
    listed = {item["id"]: item for item in gateway.get("/v1/models/").raise_for_status().json()["data"]}

    answer = gateway.get(path, follow_redirects=True)  # as clients do: an escaped slash is redirected to a plain one
    assert answer.raise_for_status().json() == listed["Qwen/Qwen3-32B"]
    assert gateway.head(path, follow_redirects=True).status_code == 200


def test_a_model_that_is_not_listed_is_a_404(gateway: httpx.Client) -> None:
    response = gateway.get("/v1/models/no-such-model")

    assert (response.status_code, error(response)["code"]) == (404, "model_not_found")


def test_the_list_says_what_may_be_asked_of_it(gateway: httpx.Client) -> None:
    response = gateway.request("OPTIONS", "/v1/models")

    assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_the_gateway_says_that_it_works(gateway: httpx.Client) -> None:
    assert (gateway.get("/health").status_code, gateway.head("/health?probe=1").status_code) == (200, 200)


def test_an_unknown_model_is_a_404_that_names_it(gateway: httpx.Client) -> None:
    response = gateway.post("/v1/chat/completions", json=chat("no-such-model"))

    assert response.status_code == 404
    assert error(response)["code"] == "model_not_found"
    assert "no-such-model" in str(error(response)["message"])


def test_a_path_that_no_route_exposes_is_a_404_of_its_own(gateway: httpx.Client) -> None:
    response = gateway.get("/nowhere")

    assert response.status_code == 404
    assert error(response)["code"] == "route_not_found"


def test_malformed_json_is_a_400(gateway: httpx.Client) -> None:
    headers = {"content-type": "application/json"}

    response = gateway.post("/v1/chat/completions", content=b'{"model": ', headers=headers)

    assert response.status_code == 400
    assert error(response)["code"] == "invalid_json"


def test_a_body_that_is_not_json_passes_the_body_based_router(gateway: httpx.Client) -> None:
    headers = {"content-type": "text/plain"}

    response = gateway.post("/nowhere", content=b'{"model": ', headers=headers)

    assert response.status_code == 404
    assert error(response)["code"] == "route_not_found"


@pytest.mark.parametrize("megabytes", [2, 15])
def test_a_long_prompt_reaches_a_model_server(gateway: httpx.Client, megabytes: int) -> None:
    body = chat("phi-4-mini-instruct", "word " * (megabytes * MEGABYTE // 5), max_tokens=1)

    response = gateway.post("/v1/chat/completions", json=body, timeout=120)

    # Whether it fits the context is the server's word; that the server said it is what counts here.
    assert response.headers["x-inference-pod"]
    assert response.status_code in {200, 400}


def test_a_body_over_the_limit_is_a_413(gateway: httpx.Client) -> None:
    body = b'{"model": "phi-4-mini-instruct", "prompt": "' + b"x" * (17 * 1024 * 1024) + b'"}'

    response = gateway.post("/v1/completions", content=body, headers={"content-type": "application/json"}, timeout=120)

    assert response.status_code == 413
    assert error(response)["code"] == "request_too_large"


def test_the_same_long_prefix_goes_to_the_same_server(gateway: httpx.Client) -> None:
    """In containers two endpoint pickers answer in turn; what one learns the other knows."""
    prefix = "You are a careful reviewer of restaurant meals. " * 60

    def pod(question: str) -> str:
        answer = gateway.post("/v1/chat/completions", json=chat("Qwen/Qwen3-32B", prefix + question))
        return str(answer.raise_for_status().headers["x-inference-pod"])

    first = pod("How was the soup?")
    time.sleep(0.3)  # another replica learns within 100 ms

    assert {pod(f"How was dish {number}?") for number in range(6)} == {first}


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_a_body_compressed_in_a_way_that_is_not_read_is_refused_by_name(gateway: httpx.Client, encoding: str) -> None:
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    answer = gateway.post("/v1/chat/completions", content=b"\x28\xb5\x2f\xfd", headers=headers)

    assert answer.status_code == 415
    assert error(answer)["param"] == "content-encoding"


def test_a_compressed_body_is_read_or_refused_by_name(gateway: httpx.Client) -> None:
    """The router reads it. Envoy cannot, which looks for the model by itself where no router is asked."""
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    packed = gzip.compress(json.dumps(chat(MODELS[0])).encode())
    answer = gateway.post("/v1/chat/completions", content=packed, headers=headers)

    assert answer.status_code == 200 or (answer.status_code, error(answer)["param"]) == (415, "content-encoding")
