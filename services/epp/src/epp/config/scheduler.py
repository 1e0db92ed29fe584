"""`SchedulerConfig`: everything that decides how endpoints are picked, as one frozen value. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from epp.config.engines import CoreMetricsExtractor, MetricsDataSource, ModelsDataSource
from epp.config.flowcontrol import FlowControl
from epp.datalayer.producer import Producer
from epp.domain import PoolId
from epp.flowcontrol.settings import Settings
from epp.scheduling.plugin import Admitter, Profile, ProfileHandler, SaturationDetector
from epp.scheduling.producers import ApproxPrefixCacheProducer, InflightLoadProducer, SessionIdProducer
from epp.scheduling.sessions import SessionAffinityFilter, SessionAffinityScorer

PASSTHROUGH = "passthrough-parser"
DEFAULT_PARSER = "openai-parser"


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """One configuration, read and checked. `warnings` tell what is accepted and will not do what it says."""

    profiles: Mapping[str, Profile]
    handler: ProfileHandler
    prefix: ApproxPrefixCacheProducer
    uses_prefix: bool = True
    load: InflightLoadProducer = field(default_factory=InflightLoadProducer)
    session: SessionIdProducer | None = None
    affinity: SessionAffinityFilter | SessionAffinityScorer | None = None
    token_headers: tuple[str, ...] = ()
    detector: SaturationDetector | None = None
    admitters: tuple[Admitter, ...] = ()
    metrics: MetricsDataSource = field(default_factory=MetricsDataSource)
    extractor: CoreMetricsExtractor = field(default_factory=CoreMetricsExtractor)
    models: ModelsDataSource = field(default_factory=ModelsDataSource)
    parsers: tuple[str, ...] = (DEFAULT_PARSER,)
    gates: frozenset[str] = frozenset()
    flow_control: FlowControl = field(default_factory=FlowControl)
    queues: Settings | None = None  # how requests wait; None: they do not
    producers: tuple[tuple[str, Callable[[PoolId], Producer]], ...] = ()  # of the user's own, by plugin
    reports_served: bool = False
    plugins: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def binds_sessions(self) -> bool:
        """Sessions are bound to endpoints by their ids."""
        return self.affinity is not None and self.affinity.strategy == "session_id"

    @property
    def is_opaque(self) -> bool:
        """Bodies are not read: the passthrough parser is the only one."""
        return self.parsers == (PASSTHROUGH,)
