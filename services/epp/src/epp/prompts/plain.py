"""Prompts without a template: completions, embeddings, scores, generation from text or token ids. Pure."""

from array import array
from collections.abc import Sequence
from typing import cast

from epp.prompts.invalid import invalid
from epp.prompts.writer import TURN, JsonObject, Writer, dump
from gateway.wire.refusals import kind_of


def write_completion(to: Writer, body: JsonObject) -> None:
    """`/v1/completions`."""
    _write_prompt(to, body.get("prompt"), "prompt")


def write_embeddings(to: Writer, body: JsonObject) -> None:
    """`/v1/embeddings`."""
    _write_prompt(to, body.get("input", body.get("messages")), "input")


def write_rerank(to: Writer, body: JsonObject) -> None:
    """`/rerank`: a query, which is scored with each document; what two requests share is the query."""
    _write_first(to, body, ("query",))
    _write_first(to, body, ("documents",))


def write_score(to: Writer, body: JsonObject) -> None:
    """`/score`: one text with others, under the names of several versions of the API."""
    _write_first(to, body, ("text_1", "data_1", "queries"))
    _write_first(to, body, ("text_2", "data_2", "documents"))


def write_pooling(to: Writer, body: JsonObject) -> None:
    """`/pooling`, `/classify`: texts or messages; input of a model's own kind has no prompt."""
    _write_first(to, body, ("input", "messages"))


def write_generate(to: Writer, body: JsonObject) -> None:
    """`/generate`: the first of what engines take."""
    _write_first(to, body, ("token_ids", "input_ids", "text", "prompt"))


def _write_first(to: Writer, body: JsonObject, names: Sequence[str]) -> None:
    """The first of these members that holds something; without any, the server says what it misses."""
    name = next((name for name in names if body.get(name) is not None), None)
    if name is None:
        return
    value = body[name]
    if isinstance(value, dict):
        to.pieces.append(dump(value, (name,)))
    else:
        _write_prompt(to, value, name)
    to.pieces.append(TURN)


def _write_prompt(to: Writer, prompt: object, param: str) -> None:
    """A string, token ids, or a list of either."""
    if isinstance(prompt, str):
        to.text(prompt)
        return
    if not isinstance(prompt, list) or not prompt:
        problem = "is missing" if prompt is None else "must be a non-empty string or list"
        raise invalid(f"{param!r} {problem}", param)
    if isinstance(prompt[0], int):
        to.pieces.append(_token_bytes(prompt, param))
        return
    to.take(prompt, param)
    for index, item in enumerate(prompt):
        if isinstance(item, str):
            to.text(item)
            to.pieces.append(TURN)
        elif isinstance(item, list) and item:
            to.pieces.append(_token_bytes(item, f"{param}[{index}]"))
        elif isinstance(item, dict):
            to.pieces.append(dump(item, (param, index)))
        else:
            raise invalid(f"'{param}[{index}]' must be a string or a list of token ids, got {kind_of(item)}", param)


def _token_bytes(ids: Sequence[object], param: str) -> bytes:
    try:
        return array("I", cast("Sequence[int]", ids)).tobytes()  # the array checks each item itself
    except (TypeError, OverflowError):
        raise invalid(f"{param!r} must hold token ids only", param.partition("[")[0]) from None
