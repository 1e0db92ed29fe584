"""The sections that select a plugin by reference: the saturation detector and the parsers. Pure."""

from collections.abc import Mapping

from epp.config.catalogue import KNOWN_PARSERS, PARSERS
from epp.config.decode import decode
from epp.config.listing import Listing, plugin_reference
from epp.config.scheduler import DEFAULT_PARSER
from epp.scheduling.plugin import SaturationDetector
from epp.scheduling.roles import SATURATION_DETECTOR
from epp.scheduling.saturation import UtilizationDetector
from gateway.schema.fields import Fields
from gateway.schema.values import Value


def saturation_detector(top: Fields, listing: Listing) -> SaturationDetector | None:
    """The detector that a section names; else the one that is listed; else the default."""
    flow = top.value("flowControl")
    for value in (top.value("saturationDetector"), None if flow is None else flow.member("saturationDetector")):
        if value is None or value.is_nothing:
            continue
        if _is_inline(value):
            inline: SaturationDetector = decode(UtilizationDetector, value, listing.references)
            return inline
        reference = plugin_reference(value)
        listed = None if reference is None else listing.referred(reference)
        if listed is not None and SATURATION_DETECTOR in listed.roles:
            chosen: SaturationDetector = listed.plugin
            return chosen
        if listed is not None and reference is not None:
            reference.problem(f"{listed.name!r} ({listed.type}) is no saturation detector")
    if "utilization-detector" in listing.by_name:
        listed = listing.by_name["utilization-detector"]
        return listed.plugin if SATURATION_DETECTOR in listed.roles else None
    detector: SaturationDetector = listing.default("utilization-detector")
    return detector


def _is_inline(value: Value) -> bool:
    """Whether a section holds the thresholds themselves, as it did before detectors were plugins."""
    return isinstance(value.data, Mapping) and "pluginRef" not in value.data


def parsers_of(top: Fields, listing: Listing) -> tuple[str, ...]:
    """The types of the parsers that `parser` and `requestHandler` name."""
    references: list[Value] = []
    parser, handler = top.value("parser"), top.child("requestHandler")
    if parser is not None:
        references.append(parser)
    if handler is not None:
        references += handler.items("parsers")
        handler.done()
    found = []
    for value in references:
        reference = plugin_reference(value)
        listed = None if reference is None else listing.referred(reference)
        if reference is None or listed is None:
            continue
        if listed.type in PARSERS or listed.type in KNOWN_PARSERS:
            found.append(listed.type)
        else:
            reference.problem(f"{listed.name!r} ({listed.type}) is no parser")
    return tuple(found) or (DEFAULT_PARSER,)
