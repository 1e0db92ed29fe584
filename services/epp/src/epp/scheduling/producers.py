"""Producers and sources: which signals exist, and how they are made. Pure values.

The picker and the scraper act on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from epp.scheduling.plugin import parameter
from gateway.wire.volatile_lines import problem

SESSION_HEADER = "x-session-id"


@dataclass(frozen=True, slots=True)
class ApproxPrefixCacheProducer:
    """Learns which endpoint holds which prompt prefixes from where prompts were sent."""

    auto_tune: bool = parameter(
        True, "take block size and cache capacity from the engine's metrics where it tells them"
    )
    block_size_tokens: int = parameter(16, "tokens per block, where the engine does not say", unit="tokens", minimum=1)
    max_prefix_blocks_to_match: int = parameter(2048, "longer prompts match by their start", unit="blocks", minimum=1)
    max_prefix_tokens_to_match: int = parameter(
        1_048_576, "wins over the limit in blocks; 0 is none; no engine has a longer context", unit="tokens", minimum=0
    )
    lru_capacity_per_server: int = parameter(
        31_250, "blocks an endpoint holds, where the engine does not say or autoTune is off", unit="blocks", minimum=1
    )
    block_size: int = parameter(0, "older spelling of blockSizeTokens, in bytes; 0 is unset", unit="bytes", minimum=0)
    hash_block_size: int = parameter(0, "older spelling of blockSize, in bytes; 0 is unset", unit="bytes", minimum=0)
    minimum_block_tokens: int = parameter(
        64, "smaller blocks cost time and memory without finding more", unit="tokens", minimum=1
    )
    volatile_lines: tuple[str, ...] = parameter(
        (), "beginnings of lines that are no part of a prompt, beside Claude Code's billing line; compared literally"
    )
    strip_volatile_lines: bool = parameter(
        False, "take these lines out of the forwarded body, too, for engines that do not; over ext_proc only"
    )

    def problem(self) -> str | None:
        """Lists of lines are bounded: each is one search through every prompt."""
        found = problem(self.volatile_lines)
        return None if found is None else f"volatileLines: {found}"

    def block_tokens(self, scraped: int | None) -> int:
        """Tokens per block, given what the engine says."""
        if self.auto_tune and scraped:
            size = scraped
        else:
            size = (self.block_size or self.hash_block_size) // 4 or self.block_size_tokens
        return max(size, self.minimum_block_tokens)

    def max_blocks(self, block_tokens: int) -> int:
        """How many blocks of a prompt are looked at."""
        if self.max_prefix_tokens_to_match:
            return max(1, self.max_prefix_tokens_to_match // block_tokens)
        return self.max_prefix_blocks_to_match


@dataclass(frozen=True, slots=True)
class InflightLoadProducer:
    """Counts requests and uncached tokens in flight per endpoint, from pick to end."""

    add_estimated_output_tokens: bool = parameter(False, "count expected answer tokens, too")
    output_ratio: float = parameter(1.5, "expected answer tokens per prompt token", minimum=0)
    max_estimated_output_tokens: int = parameter(0, "bound of that estimate; 0 is none", unit="tokens", minimum=0)
    prefix_match_info_producer_name: str = parameter(
        "approx-prefix-cache-producer", "which producer tells the matches", reference="prefix producer"
    )
    sync_cross_replica_state: bool = parameter(
        True, "ignored: replicas share what the event stream carries", ignored=True
    )

    def output_tokens(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """Expected answer tokens that a reservation counts."""
        if not self.add_estimated_output_tokens:
            return 0
        estimate = round(prompt_tokens * self.output_ratio)
        bounds = [bound for bound in (max_tokens, self.max_estimated_output_tokens or None) if bound is not None]
        return min([estimate, *bounds])


@dataclass(frozen=True, slots=True)
class TokenProducer:
    """Estimates tokens as four bytes each; token-id prompts are exact."""

    backend: object = parameter(None, "ignored: there is only the estimate", ignored=True)
    estimate: object = parameter(None, "the only way here; takes no settings")
    model_name: object = parameter(None, "ignored: no tokenizer is loaded", ignored=True)
    vllm: object = parameter(None, "ignored: tokens are estimated, no render server is asked", ignored=True)
    uds_tokenizer_config: object = parameter(None, "ignored: tokens are estimated, no tokenizer is asked", ignored=True)
    uds: object = parameter(None, "ignored: tokens are estimated, no tokenizer is asked", ignored=True)

    def warning(self) -> str | None:
        """Upstream's estimate has settings for media."""
        plain = self.estimate in (None, "nothing")
        return None if plain else "the settings of estimate have no effect: media count by size and family"


@dataclass(frozen=True, slots=True)
class SessionIdProducer:
    """Reads the session id that session affinity binds by, from a header or a cookie."""

    header_name: str = parameter("", "the header; without this and cookieName, x-session-id")
    cookie_name: str = parameter("", "the cookie, instead of a header")
    headers: tuple[str, ...] = (SESSION_HEADER,)  # tried in order where the configuration names none

    def problem(self) -> str | None:
        """One of both."""
        return "set exactly one of headerName and cookieName" if self.header_name and self.cookie_name else None

    def session(self, headers: Mapping[str, str]) -> str | None:
        """The session id of a request."""
        if not self.cookie_name:
            names = (self.header_name,) if self.header_name else self.headers
            return next((found for name in names if (found := headers.get(name.lower()))), None)
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie_name:
                return value or None
        return None
