"""Which API a request belongs to, by the ending of its path. Pure."""

from enum import StrEnum
from functools import lru_cache


class Api(StrEnum):
    """Which API a path belongs to, by its ending."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    CONVERSATIONS = "conversations"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    GENERATE = "generate"
    RERANK = "rerank"
    SCORE = "score"
    POOLING = "pooling"
    TOKENS = "tokens"  # a prompt is only cut into tokens or counted: nothing is computed, nor cached
    OTHER = "other"


# Longest ending first where one ends with another.
_PATH_ENDINGS = (
    ("/chat/completions/render", Api.CHAT),
    ("/chat/completions", Api.CHAT),
    ("/completions/render", Api.COMPLETIONS),
    ("/completions", Api.COMPLETIONS),
    ("/responses", Api.RESPONSES),
    ("/conversations", Api.CONVERSATIONS),
    ("/embeddings", Api.EMBEDDINGS),
    ("/messages", Api.MESSAGES),
    ("/messages/count_tokens", Api.TOKENS),
    ("/responses/input_tokens", Api.TOKENS),
    ("/inference/v1/generate", Api.GENERATE),
    ("/generate", Api.GENERATE),
    ("/rerank", Api.RERANK),
    ("/score", Api.SCORE),
    ("/pooling", Api.POOLING),
    ("/classify", Api.POOLING),
    ("/tokenize", Api.TOKENS),
    ("/detokenize", Api.TOKENS),
)


@lru_cache(maxsize=256)
def api_of(path: str) -> Api:
    """The API of a path; a query string does not count."""
    bare = path.partition("?")[0].rstrip("/")
    for ending, api in _PATH_ENDINGS:
        if bare.endswith(ending):
            return api
    return Api.OTHER
