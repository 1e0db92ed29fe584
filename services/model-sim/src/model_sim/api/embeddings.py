"""`/v1/embeddings`: unit vectors that depend on the tokens alone."""

from array import array
from base64 import b64encode
from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Any

from model_sim.api import calls, completions, fields
from model_sim.api.fields import Body
from model_sim.text.tokenizer import Tokenizer

DEFAULT_DIMENSIONS = 384
MAX_DIMENSIONS = 16384
"""Above any embedding model; each dimension is a number in the answer."""


def embed(body: Body, tokenizer: Tokenizer, max_model_len: int) -> tuple[list[dict[str, Any]], int]:
    """The `data` of the answer, and how many prompt tokens it took."""
    given = fields.required(body, "input")
    dimensions = fields.integer(body, "dimensions", minimum=1, maximum=MAX_DIMENSIONS) or DEFAULT_DIMENSIONS
    encoding = fields.text(body, "encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise fields.wrong("encoding_format", "float or base64", encoding)
    items: list[dict[str, Any]] = []
    total = 0
    for index, (tokens, _) in enumerate(completions.parse_prompts(given, tokenizer)):
        calls.check_context(len(tokens), 0, max_model_len)
        total += len(tokens)
        vector = _vector(tokens, dimensions)
        value: object = vector.tolist()
        if encoding == "base64":
            value = b64encode(vector.tobytes()).decode()
        items.append({"index": index, "object": "embedding", "embedding": value})
    return items, total


def _vector(tokens: Sequence[int], dimensions: int) -> "array[float]":
    random = Random(array("I", tokens).tobytes())
    values = [random.gauss(0, 1) for _ in range(dimensions)]
    norm = sqrt(sum(value * value for value in values)) or 1.0
    return array("f", [value / norm for value in values])
