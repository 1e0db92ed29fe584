"""What one server with an endless cache would find of each prompt: the bound of every hit ratio. Pure."""

from lab.simulation.policies import Policy, Waits
from lab.workloads.conversations import Call


class EndlessCache:
    """Stands before a policy's choices and counts, in the order of arrival, from a time on."""

    def __init__(self, block_size: int, begin: float) -> None:
        self._block_size = block_size
        self._begin = begin
        self._blocks: set[int] = set()
        self.cached_tokens = self.prompt_tokens = 0

    def take(self, call: Call, now: float) -> None:
        """A request arrives; later ones find its prompt and its answer."""
        hashes = call.request.block_hashes
        if now >= self._begin:
            held = next((at for at, each in enumerate(hashes) if each not in self._blocks), len(hashes))
            self.cached_tokens += min(held * self._block_size, call.request.prompt_tokens)
            self.prompt_tokens += call.request.prompt_tokens
        self._blocks.update(hashes)

    @property
    def hit_ratio(self) -> float:
        """Cached over all prompt tokens."""
        return self.cached_tokens / max(1, self.prompt_tokens)


def watched(policy: Policy, cache: EndlessCache) -> Policy:
    """The policy, whose calls the cache counts, too."""
    choose = policy.choose

    def both(call: Call, now: float) -> int | Waits | None:
        cache.take(call, now)
        return choose(call, now)

    policy.choose = both  # type: ignore[method-assign]  # the lab's policies are plain objects
    return policy
