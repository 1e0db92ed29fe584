"""Which figures of its load an endpoint does not report although its engine should, and what to configure. Pure."""

from epp.config.engines import EngineMapping
from epp.domain import EngineMetrics


def gaps(found: EngineMetrics, mapping: EngineMapping) -> tuple[str, ...]:
    """One sentence for each figure that is missing; none where the engine has no such family."""
    if found.waiting is not None and found.running is not None and found.kv_usage is not None:
        return ()
    figures = (
        (found.waiting, mapping.waiting, "queuedRequestsSpec"),
        (found.running, mapping.running, "runningRequestsSpec"),
        (found.kv_usage, mapping.kv_usage, "kvUsageSpec"),
    )
    return tuple(
        f"no number under {selector.family}: set {parameter} in engineConfigs of core-metrics-extractor"
        for value, selector, parameter in figures
        if value is None and selector is not None
    )
