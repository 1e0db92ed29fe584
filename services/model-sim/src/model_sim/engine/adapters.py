"""LoRA slots: which adapters are in GPU memory, which only in host memory, and how long a load takes.

As in vLLM a batch has at most `max_loras` different adapters, and a load happens inside the step that first needs the
adapter, so every sequence in that step waits for it. Idle adapters are evicted in LRU order. The scheduler calls it.
"""

from collections import OrderedDict

from model_sim.engine.profile import LatencyProfile


class AdapterSlots:
    """GPU and CPU tiers of adapters, with the number of running requests for each one on the GPU."""

    __slots__ = ("_cpu", "_cpu_slots", "_gpu", "_gpu_slots", "_profile", "_running", "disk_loads", "loads")

    def __init__(self, gpu_slots: int, cpu_slots: int, profile: LatencyProfile) -> None:
        self._gpu_slots = gpu_slots
        self._cpu_slots = cpu_slots
        self._profile = profile
        self._gpu: OrderedDict[str, None] = OrderedDict()
        self._cpu: OrderedDict[str, None] = OrderedDict()
        self._running: dict[str, int] = {}
        self.loads = 0  # onto the GPU, for a request
        self.disk_loads = 0  # those of them that host memory did not have

    @property
    def running(self) -> tuple[str, ...]:
        """Adapters with running requests, in stable order."""
        return tuple(sorted(self._running))

    @property
    def on_gpu(self) -> tuple[str, ...]:
        return tuple(self._gpu)

    @property
    def on_cpu(self) -> tuple[str, ...]:
        return tuple(self._cpu)

    def admits(self, adapter: str) -> bool:
        """Whether a request for `adapter` may join the batch now."""
        return adapter in self._running or len(self._running) < self._gpu_slots

    def acquire(self, adapter: str) -> float:
        """Count one more running request; the seconds its load adds to the step."""
        self._running[adapter] = self._running.get(adapter, 0) + 1
        return self._load(adapter)

    def preload(self, adapter: str) -> None:
        """Load ahead of any request, as far as there is room: nothing is evicted for it."""
        if adapter not in self._cpu and len(self._cpu) < self._cpu_slots:
            self._cpu[adapter] = None
        if adapter in self._cpu and adapter not in self._gpu and len(self._gpu) < self._gpu_slots:
            self._gpu[adapter] = None

    def _load(self, adapter: str) -> float:
        seconds = 0.0
        if adapter in self._cpu:
            self._cpu.move_to_end(adapter)
        else:
            seconds += self._profile.adapter_load_from_disk
            self.disk_loads += 1
            self._make_room(self._cpu, self._cpu_slots)
            self._cpu[adapter] = None
        if adapter in self._gpu:
            self._gpu.move_to_end(adapter)
            return seconds
        self._make_room(self._gpu, self._gpu_slots)
        self._gpu[adapter] = None
        self.loads += 1
        return seconds + self._profile.adapter_load_from_cpu

    def release(self, adapter: str) -> None:
        """Count one running request less; the adapter stays loaded until its slot is needed."""
        count = self._running[adapter] - 1
        if count:
            self._running[adapter] = count
        else:
            del self._running[adapter]

    def forget(self, adapter: str) -> None:
        """Drop an unloaded adapter from both tiers. It must have no running request."""
        assert adapter not in self._running
        self._gpu.pop(adapter, None)
        self._cpu.pop(adapter, None)

    def _make_room(self, tier: OrderedDict[str, None], slots: int) -> None:
        while len(tier) >= slots:
            idle = next(name for name in tier if name not in self._running)
            del tier[idle]
            if tier is self._cpu:  # what leaves host memory leaves the GPU too
                self._gpu.pop(idle, None)
