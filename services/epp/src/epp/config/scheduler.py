"""Reads an `EndpointPickerConfig` into a `SchedulerConfig`. Pure: text in, frozen value out, no files.

Strict: an unknown key, type, gate or parameter is a problem with file, line and path; all problems are told at once.
The defaulting rules are upstream's: without profiles one `default` profile gets all filters, scorers and pickers
listed; a profile without a picker gets the first listed one or max-score-picker; a single profile needs no handler.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from epp.config.catalogue import (
    API_VERSIONS,
    GATES,
    KNOWN_HANDLERS,
    KNOWN_PARSERS,
    KNOWN_UPSTREAM,
    PARSERS,
    PLUGINS,
    Named,
)
from epp.config.decode import decode
from epp.config.document import Report, Value, read
from epp.config.engines import CoreMetricsExtractor, MetricsDataSource, ModelsDataSource
from epp.config.flowcontrol import FlowControl
from epp.config.listing import Listed, Listing
from epp.config.problems import ConfigError, nearest
from epp.config.profiles import ProfileBuilder, reads_prefix, session_affinity, session_ids, token_headers
from epp.scheduling.handlers import (
    DisaggProfileHandler,
    HeaderProfileHandler,
    PrefixBasedPdDecider,
    SingleProfileHandler,
)
from epp.scheduling.pickers import MaxScorePicker
from epp.scheduling.plugin import (
    Admitter,
    Picker,
    Profile,
    ProfileHandler,
    SaturationDetector,
    Scorer,
)
from epp.scheduling.producers import ApproxPrefixCacheProducer, InflightLoadProducer, SessionIdProducer
from epp.scheduling.scorers import PrefixCacheScorer
from epp.scheduling.sessions import SessionAffinityFilter, SessionAffinityScorer

KIND = "EndpointPickerConfig"
PASSTHROUGH = "passthrough-parser"
_TOP_LEVEL = (
    "apiVersion", "kind", "metadata", "featureGates", "plugins", "schedulingProfiles", "saturationDetector",
    "dataLayer", "parser", "requestHandler", "flowControl",
)  # fmt: skip
NO_PLUGINS: Mapping[str, type[Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Everything that decides how endpoints are picked."""

    api_version: str
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
    parsers: tuple[str, ...] = ("openai-parser",)
    gates: frozenset[str] = frozenset()
    flow_control: FlowControl = field(default_factory=FlowControl)
    plugins: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def is_opaque(self) -> bool:
        """Bodies are not read: the passthrough parser is the only one."""
        return self.parsers == (PASSTHROUGH,)


def parse_config(text: str, source: str, own: Mapping[str, type[Any]] = NO_PLUGINS) -> SchedulerConfig:
    """Read a configuration; raises ConfigError with every problem found. `own` are plugin types of the user's."""
    document = read(text, source)
    reader = _Reader(document, own)
    config = reader.config()
    if document.report.problems:
        raise ConfigError(sorted(document.report.problems, key=lambda problem: problem.line))
    return config


def _said_of(handler: ProfileHandler, profiles: Sequence[str]) -> str | None:
    try:
        return handler.check(profiles)
    except Exception as error:  # noqa: BLE001 - a handler of the user's own may raise anything
        return f"{type(handler).__name__} cannot be checked: {error}"


class _Reader:
    def __init__(self, document: Value, own: Mapping[str, type[Any]]) -> None:
        self.report: Report = document.report
        self.top = document.known_members(_TOP_LEVEL)
        self.document = document
        self.api_version = self._api_version()
        self.listing = Listing(self.report, self.api_version, own)
        self.listed = self.listing.by_name

    def config(self) -> SchedulerConfig:
        gates = self._gates()
        for value in self._items("plugins"):
            self.listing.add(value)
        flow_control: FlowControl = decode(FlowControl, self.top.get("flowControl"))
        self.listing.check_references()
        profiles = self._profiles()
        affinity = session_affinity(profiles)
        extractor, metrics, models = self._data_layer()
        return SchedulerConfig(
            api_version=self.api_version,
            profiles={profile.name: profile for profile in profiles},
            handler=self._handler(profiles),
            prefix=self._prefix(),
            uses_prefix=self._uses_prefix(profiles),
            load=self.listing.only(InflightLoadProducer) or InflightLoadProducer(),
            session=self.listing.only(SessionIdProducer) or session_ids(affinity),
            affinity=affinity,
            token_headers=token_headers(profiles),
            detector=self._detector(),
            admitters=tuple(listed.plugin for listed in self.listed.values() if isinstance(listed.plugin, Admitter)),
            metrics=metrics,
            extractor=extractor,
            models=models,
            parsers=self._parsers(),
            gates=gates,
            flow_control=flow_control,
            plugins={name: listed.plugin for name, listed in self.listed.items()},
            warnings=tuple(str(warning) for warning in self.report.warnings),
        )

    def _items(self, key: str) -> Sequence[Value]:
        return list(self.top[key].items()) if key in self.top else []

    def _api_version(self) -> str:
        kind = self.top.get("kind")
        if kind is None:
            self.document.problem(f"kind is missing: expected {KIND}")
        elif (said := kind.text()) is not None and said != KIND:
            kind.problem(f"expected {KIND}, got {said!r}{nearest(said, [KIND])}")
        version = self.top.get("apiVersion")
        if version is None:
            self.document.problem(f"apiVersion is missing: expected one of {', '.join(API_VERSIONS)}")
        elif (said := version.text()) in API_VERSIONS:
            return str(said)
        elif said is not None:
            version.problem(f"unknown apiVersion {said!r}; valid: {', '.join(API_VERSIONS)}")
        return API_VERSIONS[0]

    def _gates(self) -> frozenset[str]:
        gates = set()
        for value in self._items("featureGates"):
            name, _, state = (value.text() or "").partition("=")
            if name not in GATES:
                value.problem(f"unknown feature gate {name!r}{nearest(name, GATES)}")
            elif state not in ("", "true", "false"):
                value.problem(f"expected {name}=true or {name}=false, got {state!r}")
            elif state != "false":
                gates.add(name)
                if GATES[name]:
                    value.warn(f"{name}: {GATES[name]}")
        return frozenset(gates)

    # Profiles

    def _profiles(self) -> list[Profile]:
        profiles: list[Profile] = []
        for value in self._items("schedulingProfiles"):
            members = value.known_members(("name", "plugins"))
            name = members["name"].text() if "name" in members else None
            if not name:
                value.problem("name is missing")
            elif any(profile.name == name for profile in profiles):
                value.problem(f"another profile is named {name!r}, too")
            else:
                profiles.append(self._profile(name, members.get("plugins")))
        return profiles or [self._default_profile()]

    def _profile(self, name: str, plugins: Value | None) -> Profile:
        builder = ProfileBuilder(name)
        for value in [] if plugins is None else plugins.items():
            members = value.known_members(("pluginRef", "weight"))
            if "pluginRef" not in members:
                value.problem("pluginRef is missing")
                continue
            listed = self.listing.referred(members["pluginRef"])
            weight = members["weight"].number() if "weight" in members else None
            if listed is None:
                continue
            if isinstance(listed.plugin, Named):
                members["pluginRef"].warn(f"{listed.name!r} takes no part in profile {name!r}")
            elif not builder.add(listed, 1.0 if weight is None else weight):
                members["pluginRef"].problem(f"{listed.name!r} ({listed.type}) is no filter, scorer or picker")
            elif weight is not None and not isinstance(listed.plugin, Scorer):
                members["weight"].warn("has no effect: only scorers have weights")
            if builder.has_two_pickers:
                members["pluginRef"].problem(f"profile {name!r} has a picker already")
                builder.has_two_pickers = False
        return builder.build(self._first_picker())

    def _default_profile(self) -> Profile:
        """All that is listed; what upstream runs with when nothing is."""
        builder = ProfileBuilder("default")
        for listed in self.listed.values():
            if not isinstance(listed.plugin, ProfileHandler):
                builder.add(listed, 1.0)
            if builder.has_two_pickers and listed.value is not None:
                listed.value.problem("there is a picker already; say in schedulingProfiles which one picks")
                builder.has_two_pickers = False
        if not self.listed:
            for type_, weight in (
                ("queue-scorer", 2.0),
                ("kv-cache-utilization-scorer", 2.0),
                ("prefix-cache-scorer", 3.0),
            ):
                builder.add(Listed(type_, type_, self.listing.default(type_)), weight)
        return builder.build(self._first_picker())

    def _first_picker(self) -> Picker:
        for listed in self.listed.values():
            if isinstance(listed.plugin, Picker):
                return listed.plugin
        return MaxScorePicker()

    def _handler(self, profiles: Sequence[Profile]) -> ProfileHandler:
        found = [listed for listed in self.listed.values() if isinstance(listed.plugin, ProfileHandler)]
        for extra in found[1:]:
            place = extra.value or self.document
            place.problem(f"there is a profile handler already: {found[0].name!r}")
        handler = found[0].plugin if found else self._substitute([profile.name for profile in profiles])
        assert isinstance(handler, ProfileHandler)
        if isinstance(handler, DisaggProfileHandler):
            handler = handler.bind({name: listed.plugin for name, listed in self.listed.items()})
        message = _said_of(handler, [profile.name for profile in profiles])
        if message:
            place = (found[0].value if found else None) or self.top.get("schedulingProfiles") or self.document
            place.problem(message if found else f"{message}; list a profile handler among the plugins")
        return handler

    def _substitute(self, profiles: Sequence[str]) -> ProfileHandler:
        """Without a handler of ours: the only profile, or for upstream's others the one that decodes."""
        if len(profiles) > 1 and any(listed.type in KNOWN_HANDLERS for listed in self.listed.values()):
            return HeaderProfileHandler(default_profile="decode" if "decode" in profiles else profiles[0])
        return SingleProfileHandler()

    # Producers, sources, detectors

    def _prefix(self) -> ApproxPrefixCacheProducer:
        """The configured producer; without one the default, with what an older configuration gave the scorer."""
        found = self.listing.only(ApproxPrefixCacheProducer)
        if isinstance(found, ApproxPrefixCacheProducer):
            return found
        producer: ApproxPrefixCacheProducer = self.listing.default("approx-prefix-cache-producer")
        scorer = next(
            (each.plugin for each in self.listed.values() if isinstance(each.plugin, PrefixCacheScorer)), None
        )
        given: dict[str, Any] = {} if scorer is None else scorer.of_the_producer()
        if "max_prefix_blocks_to_match" in given and "max_prefix_tokens_to_match" not in given:
            given["max_prefix_tokens_to_match"] = 0
        return replace(producer, **given)

    def _uses_prefix(self, profiles: Sequence[Profile]) -> bool:
        """Whether anything reads matches. An own plugin may, so it counts."""
        own_types = {type(listed.plugin) for listed in self.listed.values() if listed.type not in PLUGINS}
        for profile in profiles:
            plugins = [plugin for _, plugin in profile.filters] + [weighted.scorer for weighted in profile.scorers]
            if any(reads_prefix(plugin) or type(plugin) in own_types for plugin in plugins):
                return True
        return any(
            isinstance(listed.plugin, ApproxPrefixCacheProducer | PrefixBasedPdDecider)
            for listed in self.listed.values()
        )

    def _detector(self) -> SaturationDetector | None:
        flow = self.top.get("flowControl")
        references = [self.top.get("saturationDetector")]
        if flow is not None and not flow.is_null:
            references.append(flow.members().get("saturationDetector"))
        for value in references:
            if value is None or value.is_null:
                continue
            reference = value.known_members(("pluginRef",)).get("pluginRef")
            if reference is None:
                value.problem("pluginRef is missing")
                continue
            listed = self.listing.referred(reference)
            if listed is not None and isinstance(listed.plugin, SaturationDetector):
                return listed.plugin
            if listed is not None:
                reference.problem(f"{listed.name!r} ({listed.type}) is no saturation detector")
        if "utilization-detector" in self.listed:
            plugin = self.listed["utilization-detector"].plugin
            return plugin if isinstance(plugin, SaturationDetector) else None
        detector = self.listing.default("utilization-detector")
        assert isinstance(detector, SaturationDetector)
        return detector

    def _data_layer(self) -> tuple[CoreMetricsExtractor, MetricsDataSource, ModelsDataSource]:
        layer = self.top.get("dataLayer")
        if layer is not None:
            self._read_data_layer(layer)
        extractor, metrics = self.listing.only(CoreMetricsExtractor), self.listing.only(MetricsDataSource)
        models = self.listing.only(ModelsDataSource)
        return (
            extractor or self.listing.default("core-metrics-extractor"),
            metrics or self.listing.default("metrics-data-source"),
            models or self.listing.default("models-data-source"),
        )

    def _read_data_layer(self, layer: Value) -> None:
        members = layer.known_members((
            "injectDefaults", "sources", "discovery", "peerDiscovery", "crossReplicaSyncerPluginRef",
            "crossReplicaSyncInterval",
        ))  # fmt: skip
        for key in ("peerDiscovery", "crossReplicaSyncerPluginRef", "crossReplicaSyncInterval"):
            if key in members:
                members[key].warn("has no effect: replicas share state through --redis-url")
        if "discovery" in members:
            members["discovery"].warn("has no effect: endpoints come from EndpointSlices in --config-dir")
        for source in members["sources"].items() if "sources" in members else ():
            entry = source.known_members(("pluginRef", "extractors"))
            self._play(source, entry, ("source",))
            for extractor in entry["extractors"].items() if "extractors" in entry else ():
                self._play(extractor, extractor.known_members(("pluginRef",)), ("extractor", "producer"))
        injects = members["injectDefaults"].boolean() if "injectDefaults" in members else True
        if not injects and not any(isinstance(listed.plugin, MetricsDataSource) for listed in self.listed.values()):
            members["injectDefaults"].warn("has no effect: endpoints are scraped all the same")

    def _play(self, place: Value, entry: Mapping[str, Value], parts: Sequence[str]) -> None:
        """A reference to a plugin that must be one of these parts."""
        if "pluginRef" not in entry:
            place.problem("pluginRef is missing")
            return
        listed = self.listing.referred(entry["pluginRef"])
        if listed is not None and self.listing.part_of(listed) not in parts and listed.type not in KNOWN_UPSTREAM:
            entry["pluginRef"].problem(f"{listed.name!r} ({listed.type}) is no {parts[0]}")

    def _parsers(self) -> tuple[str, ...]:
        references: list[Value] = []
        if "parser" in self.top:
            references.append(self.top["parser"])
        if "requestHandler" in self.top:
            handler = self.top["requestHandler"].known_members(("parsers",))
            references += list(handler["parsers"].items()) if "parsers" in handler else []
        found = []
        for value in references:
            reference = value.known_members(("pluginRef",)).get("pluginRef")
            listed = None if reference is None else self.listing.referred(reference)
            if reference is None:
                value.problem("pluginRef is missing")
            elif listed is not None and listed.type not in PARSERS and listed.type not in KNOWN_PARSERS:
                reference.problem(f"{listed.name!r} ({listed.type}) is no parser")
            elif listed is not None:
                found.append(listed.type)
        return tuple(found) or ("openai-parser",)
