"""The producers that every pool has. Pure.

`Builtin` is for what shows a pool to people: /debug/pools, /metrics and the model list read figures that no decision
asks for. Whatever decides reads columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from epp.datalayer.producer import Producer
from epp.datalayer.producers.adapters import AdapterProducer
from epp.datalayer.producers.crowds import CrowdProducer
from epp.datalayer.producers.engines import EnginesProducer
from epp.datalayer.producers.load import LoadProducer
from epp.datalayer.producers.newcomers import NewcomerProducer
from epp.datalayer.producers.others import OthersProducer
from epp.datalayer.producers.own_picks import OwnPicksProducer
from epp.datalayer.producers.prefill import PrefillProducer
from epp.datalayer.producers.prefixes import PrefixProducer
from epp.datalayer.producers.sessions import SessionProducer
from epp.datalayer.producers.speed import PRIOR_PREFILL_TOKENS_PER_SECOND
from epp.datalayer.shared import ALONE, Shared


@dataclass(frozen=True, slots=True)
class Builtin:
    """One of each, for one pool."""

    engines: EnginesProducer
    adapters: AdapterProducer
    load: LoadProducer
    prefill: PrefillProducer
    prefixes: PrefixProducer
    crowds: CrowdProducer
    newcomers: NewcomerProducer
    sessions: SessionProducer
    others: OthersProducer
    own_picks: OwnPicksProducer

    def in_order(self) -> Sequence[Producer]:
        """Each after those that it reads from."""
        return (
            self.engines,
            self.adapters,
            self.load,
            self.prefill,
            self.prefixes,
            self.crowds,
            self.newcomers,
            self.sessions,
            self.others,
            self.own_picks,
        )


def builtin(prefill_tokens_per_second: float = PRIOR_PREFILL_TOKENS_PER_SECOND, shared: Shared = ALONE) -> Builtin:
    """A new set."""
    engines, load = EnginesProducer(), LoadProducer()
    prefill = PrefillProducer(load, prefill_tokens_per_second, shared)
    prefixes = PrefixProducer(engines, shared)
    return Builtin(
        engines,
        AdapterProducer(),
        load,
        prefill,
        prefixes,
        CrowdProducer(prefixes),
        NewcomerProducer(prefixes, load),
        sessions=SessionProducer(shared),
        others=OthersProducer(load, prefill, shared.run),
        own_picks=OwnPicksProducer(shared),
    )
