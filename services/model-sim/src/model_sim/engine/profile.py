"""How long one engine step takes on some hardware: a linear model, and the sizes that go with it.

    step = base
         + per_prefill_token   x prompt tokens computed in this step
         + per_prefill_pair    x (query token, context token) pairs those attend to
         + per_decode_sequence x sequences that decode one token
         + per_context_token   x context tokens those read
         + adapter loads

times a seeded jitter factor. `base` is reading the weights once plus launch overhead; the prefill terms are
arithmetic, the context term is memory bandwidth. Every duration is in seconds.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """Coefficients of the step time. All zero: the engine is instant."""

    base: float = 0.0
    per_prefill_token: float = 0.0
    per_prefill_pair: float = 0.0
    per_decode_sequence: float = 0.0
    per_context_token: float = 0.0
    jitter: float = 0.0
    """Relative standard deviation of a step's duration."""
    adapter_load_from_disk: float = 0.0
    adapter_load_from_cpu: float = 0.0
    kv_bytes_per_token: int = 0
    transfer_bytes_per_second: float = 0.0
    """Bandwidth for KV blocks that come from another engine; 0: no cost."""
    transfer_base: float = 0.0

    def transfer_seconds(self, tokens: int) -> float:
        """Time to fetch the KV cache of `tokens` from another engine."""
        if not self.transfer_bytes_per_second:
            return self.transfer_base
        return self.transfer_base + tokens * self.kv_bytes_per_token / self.transfer_bytes_per_second


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Sizes of the engine, named as vLLM's options."""

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    block_size: int = 16
    num_gpu_blocks: int = 16384
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    max_loras: int = 1
    max_cpu_loras: int = 1
    adapter_patience: float = 2.0
    """A request whose adapter found no slot for this long stops others from taking adapter slots before it."""

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "max_num_batched_tokens", "block_size", "num_gpu_blocks", "max_loras"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens: {self.max_num_batched_tokens} is less than max_num_seqs {self.max_num_seqs}"
            )
        if self.max_cpu_loras < self.max_loras:
            raise ValueError(f"max_cpu_loras: {self.max_cpu_loras} is less than max_loras {self.max_loras}")
