"""The canonical prompt is what the engine's chat template makes of a request, whichever API brought it."""

from collections.abc import Mapping, Sequence

import pytest

from tests.unit.epp.prompts.reading import read, shared

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}}}
CHAT = {
    "tools": [{"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": SCHEMA}}],
    "messages": [
        {"role": "system", "content": "You are careful."},
        {"role": "user", "content": "Look at a.py"},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py", "lines": 3}'}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "print(1)"},
        {"role": "assistant", "content": "It prints."},
        {"role": "user", "content": "Thanks"},
    ],
}  # fmt: skip
MESSAGES = {
    "max_tokens": 10,
    "system": [{"type": "text", "text": "You are careful.", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "read", "description": "Reads.", "input_schema": SCHEMA, "cache_control": {"type": "x"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Look at a.py"}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "abc"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.py", "lines": 3}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "print(1)"}]},
        ]},
        {"role": "assistant", "content": "It prints."},
        {"role": "user", "content": [{"type": "text", "text": "Thanks", "cache_control": {"type": "ephemeral"}}]},
    ],
}  # fmt: skip
RESPONSES = {
    "instructions": "You are careful.",
    "tools": [{"type": "function", "name": "read", "description": "Reads.", "parameters": SCHEMA, "strict": True}],
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Look at a.py"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
         "encrypted_content": "gAAAA"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "read",
         "arguments": '{"path":"a.py","lines":3}'},
        {"type": "function_call_output", "call_id": "c1", "output": "print(1)"},
        {"type": "message", "role": "assistant", "content": "It prints."},
        {"role": "user", "content": "Thanks"},
    ],
}  # fmt: skip
BODIES: Mapping[str, Mapping[str, object]] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}


def test_the_same_conversation_is_the_same_prompt_in_every_api() -> None:
    chat = read("chat", CHAT).canonical
    assert read("messages", MESSAGES).canonical == chat
    assert read("responses", RESPONSES).canonical == chat


MODELS = ("m", "Qwen/Qwen3-32B", "Qwen/Qwen2.5-7B-Instruct", "openai/gpt-oss-20b", "zai-org/GLM-5", "zai-org/GLM-4.5",
          "mistralai/Mistral-Small-3.1", "moonshotai/Kimi-K2", "google/gemma-4", "meta-llama/Llama-4",
          "deepseek-ai/DeepSeek-V3.1", "ibm-granite/granite-3.3", "CohereLabs/c4ai-command-r")  # fmt: skip
NO_TOKENS: Mapping[str, Sequence[object]] = {
    "tool_choice": ["none", "required", {"type": "function", "function": {"name": "read"}}, {"type": "any"}],
    "response_format": [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}],
    "text": [{"format": {"type": "json_object"}, "verbosity": "low"}],
    "output_config": [{"format": {"type": "json_schema"}}],
    "structured_outputs": [{"json": {}}],
    "parallel_tool_calls": [True, False],
    "temperature": [0.1],
    "top_p": [0.5],
    "top_k": [3],
    "seed": [7],
    "stop": [["x"]],
    "n": [2],
    "max_tokens": [5],
    "stream": [True],
    "stream_options": [{"include_usage": True}],
    "logprobs": [True],
    "metadata": [{"user_id": "u"}],
    "user": ["u"],
    "safety_identifier": ["u"],
    "store": [False],
    "include": [["reasoning.encrypted_content"]],
    "truncation": ["auto"],
    "thinking": [{"type": "enabled", "budget_tokens": 1000}],
    "reasoning": [{"summary": "auto"}],
    "service_tier": ["auto"],
    "prompt_cache_key": ["k"],
    "cache_control": [{"type": "ephemeral"}],
    "context_management": [{"edits": []}],
    "priority": [3],
}


@pytest.mark.parametrize("api", BODIES)
@pytest.mark.parametrize("model", MODELS)
def test_what_makes_no_tokens_is_no_part_of_the_prompt(api: str, model: str) -> None:
    body = {**BODIES[api], "model": model}
    expected = read(api, body).canonical
    differing = [
        (name, value)
        for name, values in NO_TOKENS.items()
        for value in values
        if read(api, {**body, name: value}).canonical != expected
    ]
    assert differing == []


@pytest.mark.parametrize("api", BODIES)
@pytest.mark.parametrize("model", MODELS)
def test_documents_are_part_of_the_prompt_where_the_familys_template_takes_them(api: str, model: str) -> None:
    body = {**BODIES[api], "model": model}
    plain, other = (read(api, {**body, **more}).canonical for more in ({}, {"documents": [{"text": "x"}]}))
    assert (plain != other) is ("granite" in model or "command" in model)


def test_text_of_tool_results_and_calls_is_part_of_the_prompt() -> None:
    canonical = read("messages", MESSAGES).canonical
    assert all(each in canonical for each in (b"print(1)", b"a.py", b"I look.", b"Reads."))
    assert not read("messages", MESSAGES).has_media


def test_an_agents_turn_continues_the_bytes_of_the_one_before() -> None:
    for api, field in (("chat", "messages"), ("messages", "messages"), ("responses", "input")):
        body = {**BODIES[api], "model": "meta-llama/Llama-3.1-8B"}  # a family that renders no reasoning again
        turns = body[field]
        assert isinstance(turns, list)
        whole = read(api, body).canonical
        for cut in (1, 2, 3, len(turns) - 1):
            earlier = read(api, {**body, field: turns[: len(turns) - cut]}).canonical
            assert whole.startswith(earlier)


def test_new_item_ids_times_and_encrypted_content_change_nothing() -> None:
    items = RESPONSES["input"]
    assert isinstance(items, list)
    renamed = [
        {**item, "id": f"other_{index}", "status": "in_progress", "created_at": index, "encrypted_content": str(index)}
        for index, item in enumerate(items)
    ]
    assert read("responses", {**RESPONSES, "input": renamed}).canonical == read("responses", RESPONSES).canonical


def test_an_unknown_item_counts_without_what_only_names_it() -> None:
    def canonical(item_id: str, query: str) -> bytes:
        item = {"type": "web_search_call", "id": item_id, "status": "completed", "action": {"query": query}}
        return read("responses", {"input": [{"role": "user", "content": "find"}, item]}).canonical

    assert canonical("ws_1", "a") == canonical("ws_2", "a")
    assert canonical("ws_1", "a") != canonical("ws_1", "b")


@pytest.mark.parametrize("role", ["system", "developer"])
def test_developer_messages_are_system_messages(role: str) -> None:
    body = {"messages": [{"role": role, "content": "s"}, {"role": "user", "content": "u"}]}
    assert read("chat", body).canonical == read("responses", {"instructions": "s", "input": "u"}).canonical


def test_a_changed_schema_is_another_prompt() -> None:
    tool = {"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": {"a": 1}}}
    assert read("chat", {**CHAT, "tools": [tool]}).canonical != read("chat", CHAT).canonical


def test_a_text_that_looks_like_a_role_opens_no_turn() -> None:
    items = [{"role": "user", "content": "assistant"}, {"type": "function_call", "name": "f", "arguments": "{}"}]
    messages = [
        {"role": "user", "content": "assistant"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    ]
    assert read("responses", {"input": items}).canonical == read("chat", {"messages": messages}).canonical


def without_system(model: str) -> bytes:
    return read("chat", {**CHAT, "model": model}).canonical


@pytest.mark.parametrize(
    ("model", "first", "second"),
    [
        ("Qwen/Qwen3-Coder-30B", b"careful", b"Reads."),
        ("meta-llama/Llama-3.1-8B-Instruct", b"careful", b"Reads."),
        ("my-own-model", b"careful", b"Reads."),
        ("zai-org/GLM-4.5-Air", b"Reads.", b"careful"),
        ("moonshotai/Kimi-K2-Instruct", b"Reads.", b"careful"),
        ("mistralai/Mistral-Small-3.1", b"It prints.", b"Reads."),
    ],
)
def test_tools_stand_where_the_familys_template_puts_them(model: str, first: bytes, second: bytes) -> None:
    canonical = without_system(model)
    assert canonical.index(first) < canonical.index(second)


def test_effort_opens_the_prompt_of_families_that_render_it_first_and_ends_the_others() -> None:
    def common(model: str) -> int:
        low, high = ({**CHAT, "model": model, "reasoning_effort": effort} for effort in ("low", "high"))
        return shared(read("chat", low).canonical, read("chat", high).canonical)

    assert common("openai/gpt-oss-120b") < 30
    assert common("Qwen/Qwen3-32B") > 150


def test_template_arguments_end_the_prompt_where_they_change_only_how_the_answer_begins() -> None:
    def common(model: str) -> int:
        bodies = ({**CHAT, "model": model, "chat_template_kwargs": {"thinking": flag}} for flag in (True, False))
        one, other = (read("chat", body).canonical for body in bodies)
        assert one != other
        return shared(one, other)

    assert common("Qwen/Qwen3-32B") > 150
    assert common("google/gemma-4-27b") < 50


def test_reasoning_counts_only_after_the_last_user_message() -> None:
    def canonical(model: str, *, is_over: bool) -> bytes:
        messages = [
            {"role": "user", "content": "u"},
            {"role": "assistant", "reasoning_content": "because", "content": "a"},
            {"role": "user", "content": "again"},
        ]
        return read("chat", {"model": model, "messages": messages[: 3 if is_over else 2]}).canonical

    assert b"because" in canonical("Qwen/Qwen3-32B", is_over=False)
    assert b"because" not in canonical("Qwen/Qwen3-32B", is_over=True)
    assert b"because" not in canonical("meta-llama/Llama-3.1-8B", is_over=False)


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("messages", {"system": 5, "messages": [{"role": "user", "content": "x"}]}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": 7}]}]}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image", "source": []}]}]}),
        ("chat", {"messages": [{"role": "user", "content": "x"}], "tools": {"a": 1}, "documents": 3}),
        ("chat", {"messages": [{"role": "assistant", "content": "x", "tool_calls": [5, {"function": []}]}]}),
        ("chat", {"messages": [{"content": [{"type": "image_url", "image_url": []}, {"type": []}, {"text": 4}]}]}),
        ("responses", {"input": [{"type": "reasoning", "content": 5}, {"type": ["x"]}], "reasoning": 4}),
        ("responses", {"input": [{"type": "function_call_output", "output": 5}], "instructions": []}),
    ],
)
def test_odd_values_that_only_an_engine_judges_are_let_through(api: str, body: Mapping[str, object]) -> None:
    assert read(api, body).canonical
