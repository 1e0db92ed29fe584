"""A ConfigMap is read; one labelled for the body-based router also for the models that it names, one for quotas for its
rules, one for tenants for those. Pure.

`data.baseModel` names the base model; `data.adapters` is a YAML list of the names that it serves.
"""

from collections.abc import Mapping

from gateway.kube.objects import ConfigMap, Meta, ModelNames
from gateway.kube.reading.quotas import quotas
from gateway.schema.fields import Fields
from gateway.schema.problems import Findings, Origin
from gateway.schema.values import Value
from gateway.schema.wording import what
from gateway.schema.yamltext import parse
from gateway.tenancy.tenants import TenantList, read
from gateway.wire.protocol import BBR_MANAGED_LABEL, TENANTS_LABEL
from gateway.wire.quotas import QUOTAS_LABEL

TENANTS_MEMBER = "tenants"


def config_map(meta: Meta, top: Fields) -> ConfigMap:
    data = top.strings("data")
    is_managed = meta.labels.get(BBR_MANAGED_LABEL) == "true"
    has_quotas = meta.labels.get(QUOTAS_LABEL) == "true"
    has_tenants = meta.labels.get(TENANTS_LABEL) == "true"
    return ConfigMap(
        meta,
        data,
        models=_model_names(data, top) if is_managed else None,
        quotas=quotas(meta, data, top) if has_quotas else (),
        tenants=_tenants(data, top) if has_tenants else None,
    )


def _tenants(data: Mapping[str, str], top: Fields) -> TenantList:
    """The document in `data.tenants`, with its problems where the ConfigMap is."""
    place, findings = f"data.{TENANTS_MEMBER}", Findings()
    found = list(parse(data.get(TENANTS_MEMBER, ""), place, findings))
    if len(found) != 1 and not findings.problems:
        top.problem(place, f"expected one YAML document, got {len(found)}")
    origin = Origin(place, found[0].marks) if found else Origin(place)
    result = read(Value(found[0].data, "", origin, findings)) if len(found) == 1 else TenantList()
    problems = findings.problems
    for problem in problems:
        where = f"line {problem.place.line}{f': {problem.field}' if problem.field else ''}"
        top.problem(place, f"{where}: {problem.message}")
    return TenantList(is_sound=False) if problems or len(found) != 1 else result


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
