"""A ConfigMap is read; one labelled for the body-based router also for the models that it names, one for quotas for its
rules, one for tenants for those and their quotas. Pure.

`data.baseModel` names the base model; `data.adapters` is a YAML list of the names that it serves.
"""

from collections.abc import Mapping

from gateway.kube.objects import ConfigMap, Meta, ModelNames
from gateway.kube.reading.quotas import quotas
from gateway.kube.reading.tenants import tenants
from gateway.schema.fields import Fields
from gateway.schema.problems import Findings
from gateway.schema.wording import what
from gateway.schema.yamltext import parse
from gateway.wire.protocol import BBR_MANAGED_LABEL, TENANTS_LABEL
from gateway.wire.quotas import QUOTAS_LABEL


def config_map(meta: Meta, top: Fields) -> ConfigMap:
    data = top.strings("data")
    is_managed = meta.labels.get(BBR_MANAGED_LABEL) == "true"
    has_quotas = meta.labels.get(QUOTAS_LABEL) == "true"
    has_tenants = meta.labels.get(TENANTS_LABEL) == "true"
    listed, own_quotas = tenants(meta, data, top) if has_tenants else (None, ())
    return ConfigMap(
        meta,
        data,
        models=_model_names(data, top) if is_managed else None,
        quotas=(*own_quotas, *(quotas(meta, data, top) if has_quotas else ())),
        tenants=listed,
    )


def _model_names(data: Mapping[str, str], top: Fields) -> ModelNames | None:
    base, listed = data.get("baseModel", "").strip(), _listed(data.get("adapters", ""))
    if not base:
        top.problem("data.baseModel", "expected the name of a model, got nothing")
    if isinstance(listed, str):
        top.problem("data.adapters", listed)
    return None if not base or isinstance(listed, str) else ModelNames(base, listed)


def _listed(text: str) -> tuple[str, ...] | str:
    """The names of a YAML list, or why it is none."""
    findings = Findings()
    found = [document.data for document in parse(text, "data.adapters", findings)]
    if findings.problems:
        return "; ".join(problem.message for problem in findings.problems)
    listed = found[0] if found else None
    if len(found) > 1 or not isinstance(listed, list | None):
        return f"expected a YAML list of names, got {what(listed)}"
    misfit = next((item for item in listed or () if not isinstance(item, str)), "")
    if misfit != "":
        return f"expected a YAML list of names, got {what(misfit)} in it"
    return tuple(name for item in listed or () if (name := str(item).strip()))
