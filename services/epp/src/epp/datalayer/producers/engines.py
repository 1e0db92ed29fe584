"""What model servers report of themselves: the last scrape and the last model list of each. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from epp.datalayer.events import EndpointJoined, EndpointLeft, ModelsListed, Scraped
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.domain import EngineMetrics, ServedModel

NO_METRICS = EngineMetrics()
NO_NAMES: frozenset[str] = frozenset()


class EnginesProducer:
    """Keeps scrapes as they were; what follows from them for the load is `LoadProducer`'s."""

    def __init__(self) -> None:
        self._metrics: dict[int, EngineMetrics] = {}
        self._scraped_at: dict[int, float] = {}
        self._models: dict[int, tuple[ServedModel, ...]] = {}
        self._names: Counter[str] = Counter()  # endpoints by the names of the models that they list
        self.last_models: tuple[ServedModel, ...] = ()  # the last list that any endpoint gave
        self._with_adapters: set[int] = set()  # slots whose last scrape reports anything of adapters

    def handles(self) -> Handlers:
        """Scrapes, model lists, and who is there."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            Scraped: self._scraped,
            ModelsListed: self._listed,
        }

    def columns(self) -> Mapping[str, Column]:
        """Figures of the last scrape; None, empty or zero before the first."""
        return {
            "scraped": lambda _, slots: [self._metrics.get(slot) for slot in slots],
            "scraped_at": lambda _, slots: [self._scraped_at.get(slot) for slot in slots],
            "has_adapters": self._have_adapters,
            "active_adapters": lambda _, slots: [self.metrics(slot).active_adapters for slot in slots],
            "waiting_adapters": lambda _, slots: [self.metrics(slot).waiting_adapters for slot in slots],
            "max_adapters": lambda _, slots: [self.metrics(slot).max_adapters for slot in slots],
            "models": lambda _, slots: [self._models.get(slot, ()) for slot in slots],
        }

    def _have_adapters(self, placing: Placing, slots: Sequence[int]) -> Sequence[bool]:
        del placing
        known = self._with_adapters
        return [slot in known for slot in slots] if known else [False] * len(slots)

    def metrics(self, slot: int) -> EngineMetrics:
        """The last scrape; without one, nothing is known."""
        return self._metrics.get(slot, NO_METRICS)

    def is_known(self, slot: int) -> bool:
        """Whether the endpoint was ever scraped."""
        return slot in self._metrics

    def scraped_at(self, slot: int) -> float | None:
        """When it was last scraped."""
        return self._scraped_at.get(slot)

    def models(self, slot: int) -> tuple[ServedModel, ...]:
        """The models that it listed."""
        return self._models.get(slot, ())

    def model_names(self) -> AbstractSet[str]:
        """The names of all models that any endpoint lists."""
        return self._names.keys()

    def block_size(self) -> int | None:
        """The first block size that an engine reports: where they differ, one must do for all."""
        return next((size for metrics in self._metrics.values() if (size := metrics.block_size)), None)

    def _joined(self, event: EndpointJoined, now: float) -> None:
        del now
        self._forget(event.member.slot)

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        self._forget(event.member.slot)

    def _forget(self, slot: int) -> None:
        self._with_adapters.discard(slot)
        self._list(slot, ())
        for known in (self._metrics, self._scraped_at, self._models):
            known.pop(slot, None)

    def _scraped(self, event: Scraped, now: float) -> None:
        slot, metrics = event.member.slot, event.metrics
        self._metrics[slot] = metrics
        self._scraped_at[slot] = now
        if metrics.max_adapters or metrics.active_adapters or metrics.waiting_adapters:
            self._with_adapters.add(slot)
        else:
            self._with_adapters.discard(slot)

    def _listed(self, event: ModelsListed, now: float) -> None:
        del now
        self._list(event.member.slot, event.models)
        self.last_models = event.models or self.last_models

    def _list(self, slot: int, models: tuple[ServedModel, ...]) -> None:
        before = {model.id for model in self._models.get(slot, ())}
        self._names.update({model.id for model in models} - before)
        for gone in before - {model.id for model in models}:
            self._names[gone] -= 1
            if not self._names[gone]:
                del self._names[gone]
        self._models[slot] = models


def has_restarted(before: EngineMetrics, now: EngineMetrics) -> bool:
    """A restarted server has an empty cache."""
    return bool(before.started_at and now.started_at and now.started_at > before.started_at)
