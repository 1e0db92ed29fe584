"""The official OpenAI and Anthropic clients, streaming and not."""

import json
from collections.abc import AsyncIterator

import anthropic
import openai
import pytest

QUESTION = [{"role": "user", "content": "What is a queue?"}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}, "days": {"type": "integer", "maximum": 5}},
    "required": ["city", "days"],
}


@pytest.fixture
async def client(serve) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        serve("--seed", "7", "--enable-prompt-tokens-details") as server,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as opened,
    ):
        yield opened


@pytest.fixture
async def claude(serve) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with (
        serve("--seed", "7") as server,
        anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as opened,
    ):
        yield opened


async def test_openai_chat_answers_with_usage(client):
    answer = await client.chat.completions.create(model="sim-model", messages=QUESTION, max_tokens=12)

    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 12
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


async def test_openai_chat_streams_the_text_it_would_have_answered(client):
    whole = await client.chat.completions.create(model="sim-model", messages=QUESTION, max_tokens=30, seed=3)
    stream = await client.chat.completions.create(
        model="sim-model",
        messages=QUESTION,
        max_tokens=30,
        seed=3,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage.completion_tokens == 30
    assert chunks[-1].choices == []


async def test_openai_streams_several_choices_each_with_its_own_end(client):
    stream = await client.chat.completions.create(
        model="sim-model", messages=QUESTION, max_tokens=500, n=3, stream=True, seed=1
    )
    ends: dict[int, str] = {}
    async for chunk in stream:
        for choice in chunk.choices:
            assert choice.index not in ends
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason

    assert sorted(ends) == [0, 1, 2]


async def test_openai_completions_take_text_and_token_ids(client):
    answer = await client.completions.create(model="sim-model", prompt=["one", "two"], max_tokens=4, n=2, logprobs=2)
    by_ids = await client.completions.create(model="sim-model", prompt=[97, 98, 99], max_tokens=4, echo=True)

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len(answer.choices[0].logprobs.tokens) == 4
    assert answer.usage.completion_tokens == 16
    assert by_ids.choices[0].text.startswith("abc")
    assert by_ids.usage.prompt_tokens == 3


async def test_openai_completion_stream_joins_to_the_whole(client):
    stream = await client.completions.create(model="sim-model", prompt="x", max_tokens=9, stream=True, seed=5)
    streamed = "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])
    whole = await client.completions.create(model="sim-model", prompt="x", max_tokens=9, seed=5)

    assert streamed == whole.choices[0].text


async def test_openai_tool_calls_fit_their_schema(client):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    answer = await client.chat.completions.create(
        model="sim-model", messages=QUESTION, tools=tools, tool_choice="required"
    )
    async with client.chat.completions.stream(
        model="sim-model", messages=QUESTION, tools=tools, tool_choice="required"
    ) as stream:
        final = await stream.get_final_completion()

    for completion in (answer, final):
        assert completion.choices[0].finish_reason == "tool_calls"
        call = completion.choices[0].message.tool_calls[0].function
        assert call.name == "weather"
        arguments = json.loads(call.arguments)
        assert arguments["city"] in ("Oslo", "Rome")
        assert 0 <= arguments["days"] <= 5


async def test_openai_logprobs_cover_every_token(client):
    answer = await client.chat.completions.create(
        model="sim-model", messages=QUESTION, max_tokens=5, logprobs=True, top_logprobs=3
    )

    content = answer.choices[0].logprobs.content
    assert len(content) == 5
    assert all(len(entry.top_logprobs) == 3 and entry.logprob <= 0 for entry in content)
    assert "".join(entry.token for entry in content) == answer.choices[0].message.content


async def test_openai_structured_output_is_json_of_the_schema(client):
    schema = {"name": "report", "schema": WEATHER}
    answer = await client.chat.completions.create(
        model="sim-model", messages=QUESTION, response_format={"type": "json_schema", "json_schema": schema}
    )

    value = json.loads(answer.choices[0].message.content)
    assert set(value) == {"city", "days"}


async def test_openai_responses_answer_and_stream_the_same_events(client):
    answer = await client.responses.create(model="sim-model", input="hi", max_output_tokens=6)
    stream = await client.responses.create(model="sim-model", input="hi", max_output_tokens=6, stream=True)
    events = [event async for event in stream]

    assert answer.status == "incomplete"
    assert answer.usage.output_tokens == 6
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events][:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].response.output_text == deltas


async def test_openai_responses_stream_function_calls(client):
    tools = [{"type": "function", "name": "weather", "parameters": WEATHER}]
    async with client.responses.stream(model="sim-model", input="hi", tools=tools, tool_choice="required") as stream:
        final = await stream.get_final_response()

    assert final.output[0].type == "function_call"
    assert final.output[0].name == "weather"


async def test_openai_embeddings_are_equal_in_both_encodings(client):
    floats = await client.embeddings.create(model="sim-model", input=["a", "b"], dimensions=8, encoding_format="float")
    decoded = await client.embeddings.create(model="sim-model", input=["a", "b"], dimensions=8)

    assert len(floats.data[0].embedding) == 8
    assert floats.data[0].embedding == pytest.approx(decoded.data[0].embedding, abs=1e-6)
    assert floats.data[0].embedding != floats.data[1].embedding


async def test_openai_errors_have_the_types_the_client_knows(client):
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="other", messages=QUESTION)
    with pytest.raises(openai.BadRequestError) as invalid:
        await client.chat.completions.create(model="sim-model", messages=QUESTION, max_tokens=0)

    assert (missing.value.type, missing.value.param) == ("NotFoundError", "model")
    assert invalid.value.response.json()["error"]["code"] == 400


async def test_openai_lists_models(client):
    models = await client.models.list()

    assert [model.id for model in models.data] == ["sim-model"]


async def test_anthropic_answers_a_message(claude):
    message = await claude.messages.create(model="sim-model", max_tokens=10, messages=QUESTION, system="Be brief.")

    assert message.stop_reason == "max_tokens"
    assert message.content[0].text
    assert message.usage.output_tokens == 10


async def test_anthropic_streams_a_message(claude):
    async with claude.messages.stream(model="sim-model", max_tokens=10, messages=QUESTION) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()

    assert text == final.content[0].text
    assert final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 10


async def test_anthropic_tools_arrive_whole_and_streamed(claude):
    request = {
        "model": "sim-model",
        "max_tokens": 200,
        "messages": QUESTION,
        "tools": [{"name": "weather", "input_schema": WEATHER}],
        "tool_choice": {"type": "tool", "name": "weather"},
    }
    message = await claude.messages.create(**request)
    async with claude.messages.stream(**request) as stream:
        streamed = await stream.get_final_message()

    for answer in (message, streamed):
        assert answer.stop_reason == "tool_use"
        assert answer.content[0].input["city"] in ("Oslo", "Rome")


async def test_anthropic_errors_have_its_own_shape(claude):
    with pytest.raises(anthropic.BadRequestError) as refused:
        await claude.messages.create(model="sim-model", max_tokens=0, messages=QUESTION)
    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.create(model="other", max_tokens=5, messages=QUESTION)
    counted = await claude.messages.count_tokens(model="sim-model", messages=QUESTION)

    assert refused.value.response.json()["error"]["type"] == "invalid_request_error"
    assert counted.input_tokens > 4
