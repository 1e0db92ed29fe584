"""The sections that select a plugin by reference: the saturation detector and the parsers. Pure."""

from epp.config.catalogue import KNOWN_PARSERS, PARSERS
from epp.config.listing import Listing, plugin_reference
from epp.config.scheduler import DEFAULT_PARSER
from epp.scheduling.plugin import SaturationDetector
from gateway.schema.fields import Fields
from gateway.schema.values import Value


def saturation_detector(top: Fields, listing: Listing) -> SaturationDetector | None:
    """The detector that a section names; else the one that is listed; else the default."""
    flow = top.value("flowControl")
    for value in (top.value("saturationDetector"), None if flow is None else flow.member("saturationDetector")):
        if value is None or value.is_nothing:
            continue
        reference = plugin_reference(value)
        listed = None if reference is None else listing.referred(reference)
        if listed is not None and isinstance(listed.plugin, SaturationDetector):
            return listed.plugin
        if listed is not None and reference is not None:
            reference.problem(f"{listed.name!r} ({listed.type}) is no saturation detector")
    if "utilization-detector" in listing.by_name:
        plugin = listing.by_name["utilization-detector"].plugin
        return plugin if isinstance(plugin, SaturationDetector) else None
    detector = listing.default("utilization-detector")
    assert isinstance(detector, SaturationDetector)
    return detector


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
