"""What the picker reserved for one request: which endpoints carry what. Pure values."""

from typing import NamedTuple

from epp.datalayer.member import Member
from epp.domain import EndpointId, PickId, PoolId

# Blocks kept for correction in a settled placement; longer chains are cut, their tail is then not corrected.
SETTLED_BLOCKS_LIMIT = 512
# An objective or a fairness id may fill a whole header; more of it is no label anyway.
SETTLED_WORD_LIMIT = 256


class Share(NamedTuple):
    """What one endpoint carries of a request, in tokens."""

    member: Member
    prompt_tokens: int  # to compute there
    answer_tokens: int = 0  # to generate there, where such are counted
    holds_prompt: bool = True  # in its cache, from now on
    media_tokens: int = 0  # of pictures and sound, to encode there

    @property
    def tokens(self) -> int:
        """All that it has in flight for the request."""
        return self.prompt_tokens + self.answer_tokens


class Placement(NamedTuple):
    """One request on its endpoints, the one that answers first. A tuple, which costs least to make.

    `notes` is where producers keep what they want back when the request is settled or reported, each under its name.
    """

    id: PickId
    pool: PoolId
    shares: tuple[Share, ...]
    model: str
    target_model: str
    objective: str  # as the request named it, empty where it named none
    fairness_id: str
    priority: int
    prompt_tokens: int
    matched_tokens: int
    block_tokens: int
    blocks: tuple[int, ...]
    new_from: int  # blocks before this one were believed there already
    session: str | None
    placed_at: float
    notes: dict[str, object]
    targets: tuple[EndpointId, ...] = ()  # the list that the proxy walks, the primary first
    media_tokens: int = 0  # of the prompt's
    tenant: str = ""

    @property
    def primary(self) -> Member:
        """The endpoint that answers."""
        return self.shares[0].member

    @property
    def has_legs(self) -> bool:
        """Whether prefill or encoding has an endpoint of its own."""
        return len(self.shares) > 1

    def trimmed(self) -> "Placement":
        """Without what would take much room while its access-log entry is waited for."""
        is_small = (
            len(self.blocks) <= SETTLED_BLOCKS_LIMIT
            and len(self.objective) <= SETTLED_WORD_LIMIT
            and len(self.fairness_id) <= SETTLED_WORD_LIMIT
        )
        if is_small:
            return self
        return self._replace(
            blocks=self.blocks[:SETTLED_BLOCKS_LIMIT],
            objective=self.objective[:SETTLED_WORD_LIMIT],
            fairness_id=self.fairness_id[:SETTLED_WORD_LIMIT],
        )
