"""A request as it was read: the value that parsing returns and the scheduler works with. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from epp.domain import NO_LABELS
from epp.prompts.apis import Api
from epp.prompts.sessions import Session, opening_session
from epp.prompts.writer import BYTES_PER_TOKEN

# What a template's arguments take at the end of a prompt, at most.
_ARGUMENTS_BYTES = 256


class InferenceRequest(NamedTuple):
    """One request as the scheduler sees it. `model` is None for bodies that are not JSON and for requests without.

    A tuple, which costs least to make.
    """

    model: str | None
    target_model: str = ""
    api: Api = Api.OTHER
    canonical: bytes = b""
    cache_salt: str = ""
    is_streaming: bool = False
    has_media: bool = False
    max_tokens: int | None = None
    priority: int = 0
    headers: Mapping[str, str] = NO_LABELS
    media_tokens: int = 0  # of `prompt_tokens`: what the encoder of pictures and sound has to do
    named_session: Session | None = None
    opening: int = 0  # bytes of `canonical` up to the end of the first user turn
    stored_id: str | None = None  # of the response or conversation, which one server keeps, that it is about

    def routed(self, priority: int, target_model: str) -> "InferenceRequest":
        """The same with what the pool's objects say about it."""
        return self._replace(priority=priority, target_model=target_model)

    @property
    def prompt_tokens(self) -> int:
        """An estimate, except for prompts of token ids."""
        return len(self.canonical) // BYTES_PER_TOKEN

    @property
    def begins_conversation(self) -> bool:
        """Whether the prompt ends with the first user turn; a prompt without turns begins anew, too."""
        return not self.opening or len(self.canonical) - self.opening <= _ARGUMENTS_BYTES

    def session(self) -> Session | None:
        """The conversation that the client named, or else the one that begins like this; computed at each call."""
        return self.named_session or opening_session(self.canonical, self.opening)
