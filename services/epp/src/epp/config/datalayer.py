"""The `dataLayer` section: how endpoints are asked for their load and their models. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from epp.config.catalogue import KNOWN_UPSTREAM
from epp.config.engines import CoreMetricsExtractor, MetricsDataSource, ModelsDataSource
from epp.config.listing import Listing
from gateway.schema.fields import Fields, fields_of
from gateway.schema.values import Value

_SHARED_OTHERWISE: Final = ("peerDiscovery", "crossReplicaSyncerPluginRef", "crossReplicaSyncInterval")


class DataLayer(NamedTuple):
    """The sources of knowledge about endpoints."""

    extractor: CoreMetricsExtractor
    metrics: MetricsDataSource
    models: ModelsDataSource


def data_layer(written: Value | None, listing: Listing) -> DataLayer:
    """The section, defaults where it names nothing."""
    layer = None if written is None else fields_of(written)
    if layer is not None:
        _read(layer, listing)
    return DataLayer(
        extractor=listing.only(CoreMetricsExtractor) or listing.default("core-metrics-extractor"),
        metrics=listing.only(MetricsDataSource) or listing.default("metrics-data-source"),
        models=listing.only(ModelsDataSource) or listing.default("models-data-source"),
    )


def _read(layer: Fields, listing: Listing) -> None:
    for key in _SHARED_OTHERWISE:
        layer.ignored(key, "has no effect: replicas share state through --redis-url")
    layer.ignored("discovery", "has no effect: endpoints come from EndpointSlices and Pods in --config-dir")
    for value in layer.items("sources"):
        source = fields_of(value)
        if source is None:
            continue
        _check_role(source, ("source",), listing)
        for item in source.items("extractors"):
            extractor = fields_of(item)
            if extractor is not None:
                _check_role(extractor, ("extractor", "producer"), listing)
                extractor.done()
        source.done()
    injects = layer.boolean("injectDefaults", default=True)
    if not injects and listing.only(MetricsDataSource) is None:
        layer.at("injectDefaults").note("has no effect: endpoints are scraped all the same")
    layer.done()


def _check_role(entry: Fields, parts: Sequence[str], listing: Listing) -> None:
    """A reference to a plugin that must be one of these parts."""
    reference = entry.value("pluginRef", required=True)
    listed = None if reference is None else listing.referred(reference)
    if reference is None or listed is None or listed.type in KNOWN_UPSTREAM:
        return
    if listing.part_of(listed) not in parts:
        reference.problem(f"{listed.name!r} ({listed.type}) is no {parts[0]}")
