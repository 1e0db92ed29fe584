"""The settings of one simulator: a frozen value, made by the command line, or by the fleet from a common one."""

from dataclasses import dataclass, field

from model_sim.engine.profile import EngineConfig, LatencyProfile


@dataclass(frozen=True, slots=True)
class LoraModule:
    """A static adapter: its name is a model name."""

    name: str
    path: str = ""
    base_model_name: str | None = None


@dataclass(frozen=True, slots=True)
class KvEventsConfig:
    """Where KV cache events go. Off by default."""

    endpoint: str = "tcp://*:5557"
    replay_endpoint: str | None = None
    topic: str = ""
    buffer_steps: int = 10_000
    """Batches kept for replay: vLLM's default."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about one simulator that does not change while it runs."""

    model: str
    served_model_names: tuple[str, ...] = ()
    host: str = "0.0.0.0"
    port: int = 8000
    api_keys: tuple[str, ...] = ()
    lora_modules: tuple[LoraModule, ...] = ()
    enable_lora: bool = False
    engine: EngineConfig = field(default_factory=EngineConfig)
    profile: LatencyProfile = field(default_factory=LatencyProfile)
    profile_name: str = "instant"
    max_model_len: int = 131072
    seed: int = 0
    mode: str = "random"
    data_parallel_size: int = 1
    prompt_tokens_details: bool = False
    force_include_usage: bool = False
    max_queued_requests: int | None = None
    """Beyond this many, running and waiting, answer 503 (`n` counts `n` times); None: queue without limit."""
    pod_name: str = ""
    namespace: str = "default"
    enable_admin: bool = False
    enable_fault_headers: bool = False
    faults: str = ""
    """Faults from the start, as JSON."""
    tokenizer_file: str | None = None
    kv_events: KvEventsConfig | None = None
    shutdown_timeout: float = 30.0
    log_level: str = "info"

    @property
    def displayed_model(self) -> str:
        """The first served name: what answers and metrics call the base model."""
        return self.served_model_names[0] if self.served_model_names else self.model

    @property
    def model_names(self) -> tuple[str, ...]:
        return self.served_model_names or (self.model,)

    @property
    def uses_lora(self) -> bool:
        return self.enable_lora or bool(self.lora_modules)
