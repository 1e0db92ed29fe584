"""Prompts without a template: completions, embeddings, generation from text or token ids. Pure."""

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


def write_generate(to: Writer, body: JsonObject) -> None:
    """`/generate`: the first of what engines take."""
    for key in ("token_ids", "input_ids", "text", "prompt"):
        if body.get(key) is not None:
            _write_prompt(to, body[key], key)
            return


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
