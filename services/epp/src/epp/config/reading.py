"""Reads an `EndpointPickerConfig` into a `SchedulerConfig`. Pure: text in, frozen value out, no files.

Strict: an unknown field, type, gate or parameter is a problem with file, line and path, and one reading names them all.
Each section has a module of its own: plugins (`listing`), profiles and their handler (`profiles`), producers
(`producers`), the data layer (`datalayer`), detector and parsers (`selection`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from epp.config.catalogue import GATES
from epp.config.datalayer import data_layer
from epp.config.decode import decode
from epp.config.flowcontrol import FlowControl
from epp.config.listing import Listing
from epp.config.producers import affinity_of, own_producers, prefix_producer, session_ids, token_headers, uses_prefix
from epp.config.profiles import handler_of, profiles_of
from epp.config.queues import counting_unseen, queues_of
from epp.config.scheduler import SchedulerConfig
from epp.config.selection import parsers_of, saturation_detector
from epp.config.spellings import API_VERSIONS, GIE
from epp.scheduling.producers import InflightLoadProducer, SessionIdProducer
from epp.scheduling.reporters import DestinationEndpointServedVerifier
from epp.scheduling.roles import ADMITTER
from gateway.schema.fields import Fields, fields_of
from gateway.schema.problems import Findings, ProblemsError
from gateway.schema.values import Value
from gateway.schema.wording import nearest
from gateway.schema.yamltext import one

KIND = "EndpointPickerConfig"
FLOW_CONTROL = "flowControl"
NO_PLUGINS: Mapping[str, type[Any]] = MappingProxyType({})


class ConfigError(ProblemsError):
    """A configuration that cannot be used."""


def parse_config(text: str, source: str, own: Mapping[str, type[Any]] = NO_PLUGINS) -> SchedulerConfig:
    """Read a configuration; raises ConfigError with every problem found. `own` are plugin types of the user's."""
    findings = Findings()
    document = one(text, source, findings)
    top = None if document is None else fields_of(document)
    config = None if top is None else _config(top, own, findings)
    if config is None or findings.problems:
        raise ConfigError(sorted(findings.problems))
    return config


def _config(top: Fields, own: Mapping[str, type[Any]], findings: Findings) -> SchedulerConfig:
    listing = Listing(_api_version(top), own)
    gates = _gates(top)
    waits = FLOW_CONTROL in gates
    for value in top.items("plugins"):
        listing.add(value)
    flow_control: FlowControl = decode(FlowControl, top.value("flowControl"), listing.references)
    listing.check_references()
    built = profiles_of(top, listing)
    profiles = [each.profile for each in built]
    affinity = affinity_of(built)
    layer = data_layer(_data_layer_section(top), listing)
    handler, detector, parsers = (
        handler_of(top, listing, profiles),
        saturation_detector(top, listing),
        parsers_of(top, listing),
    )
    top.known("metadata")
    top.done()
    return SchedulerConfig(
        profiles={profile.name: profile for profile in profiles},
        handler=handler,
        prefix=prefix_producer(listing),
        uses_prefix=uses_prefix(listing, built),
        load=listing.only(InflightLoadProducer) or InflightLoadProducer(),
        session=listing.only(SessionIdProducer) or session_ids(affinity),
        affinity=affinity,
        token_headers=token_headers(built),
        detector=counting_unseen(detector) if waits else detector,
        admitters=tuple(each.plugin for each in listing.with_role(ADMITTER)),
        metrics=layer.metrics,
        extractor=layer.extractor,
        models=layer.models,
        parsers=parsers,
        gates=gates,
        flow_control=flow_control,
        queues=queues_of(flow_control, listing) if waits else None,
        producers=own_producers(listing),
        reports_served=listing.only(DestinationEndpointServedVerifier) is not None,
        plugins={name: listed.plugin for name, listed in listing.by_name.items()},
        warnings=tuple(str(note) for note in findings.notes),
    )


def _api_version(top: Fields) -> str:
    """The kind is checked; the version whose defaults hold, by any spelling that a release had."""
    kind, version = top.text("kind", required=True), top.text("apiVersion")
    if kind not in ("", KIND):
        top.problem("kind", f"expected {KIND}, got {kind!r}{nearest(kind, [KIND])}")
    if not version:
        top.at("apiVersion").note(f"missing; read as {GIE}")
    elif version not in API_VERSIONS:
        top.problem("apiVersion", f"unknown apiVersion {version!r}; valid: {', '.join(API_VERSIONS)}")
    return API_VERSIONS.get(version, GIE)


def _data_layer_section(top: Fields) -> Value | None:
    """`dataLayer`; earlier releases named it `data`."""
    former, today = top.value("data"), top.value("dataLayer")
    if former is not None and today is not None:
        former.problem("dataLayer is there, too; data is its earlier name")
    return today or former


def _gates(top: Fields) -> frozenset[str]:
    gates = set()
    for value in top.items("featureGates"):
        name, _, state = (value.text() or "").partition("=")
        if name not in GATES:
            value.problem(f"unknown feature gate {name!r}{nearest(name, GATES)}")
        elif state not in ("", "true", "false"):
            value.problem(f"expected {name}=true or {name}=false, got {state!r}")
        elif state != "false":
            gates.add(name)
            if GATES[name]:
                value.note(f"{name}: {GATES[name]}")
    return frozenset(gates)
