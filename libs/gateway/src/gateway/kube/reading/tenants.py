"""The document of tenants in a ConfigMap becomes tenants and rules of their quotas. Pure.

isolation: tenant            whose cached prompts are shared: none (everybody), tenant, group or user
isolationOf: {"phi-*": none} the same for single models: by name, by the beginning of names, by base model
tenants:
- name: team-a
  clients: [alice, bob]      names of keys, users, or subjects of tokens; `*` stands for every other client
  group: research
  models: [Qwen/Qwen3-32B, "phi-*"]      all without it
  adaptersOf: [Qwen/Qwen3-32B]           whatever has this base model
  objectives: [standard, batch]          the first one where a client names none of them
  priorityCeiling: 10        no request is more important, whatever its objective says
  fairnessId: team-a         its own name without it
  trusted: false             whether what its clients say of themselves counts
  overflow: true             whether external providers may serve what its pools cannot
  costCentre: research       for the bill
  quotas: [{tokens: 100000, per: minute}]
"""

from collections.abc import Mapping
from typing import Final

from gateway.kube.objects import Meta
from gateway.kube.reading import quotas
from gateway.quotas.rules import Condition, Rule
from gateway.schema.fields import Fields
from gateway.schema.problems import Findings, Origin
from gateway.schema.spelling import CLIENT_NAME as NAME
from gateway.schema.values import Value
from gateway.schema.wording import what
from gateway.schema.yamltext import parse
from gateway.tenancy.tenants import MOST_TENANTS, Isolation, Models, Tenant, TenantList

MEMBER: Final = "tenants"
ATTRIBUTE: Final = "tenant"  # of requests, in conditions of quotas
MOST_NAMES: Final = 1000  # of clients, models and so on of one tenant
MOST_QUOTAS: Final = 20  # of one tenant
LONGEST_NAME: Final = 128
_PRIORITIES: Final = (-(2**31), 2**31 - 1)
_WRONG: Final = TenantList(is_sound=False)

Found = tuple[TenantList, tuple[Rule, ...]]


def tenants(meta: Meta, data: Mapping[str, str], top: Fields) -> Found:
    """The document in `data.tenants`, with its problems where the ConfigMap is."""
    place, findings = f"data.{MEMBER}", Findings()
    found = list(parse(data.get(MEMBER, ""), place, findings))
    if len(found) != 1:
        if not findings.problems:
            top.problem(place, f"expected one YAML document, got {len(found)}")
        result: Found = _WRONG, ()
    else:
        result = _read(meta, Value(found[0].data, "", Origin(place, found[0].marks), findings))
    problems = findings.problems
    for problem in problems:
        where = f"line {problem.place.line}{f': {problem.field}' if problem.field else ''}"
        top.problem(place, f"{where}: {problem.message}")
    return (_WRONG, ()) if problems else result


def _read(meta: Meta, value: Value) -> Found:
    """What is wrong becomes problems of the value's findings."""
    top = Fields(value)
    isolation = Isolation(top.choice("isolation", tuple(Isolation), Isolation.TENANT))
    isolation_of = _isolation_of(top)
    items = top.children("tenants", MOST_TENANTS)
    read = [_tenant(meta, item) for item in items]
    top.done()
    found = tuple(tenant for tenant, _ in read)
    _check_names(found, top)
    return TenantList(isolation, found, isolation_of=isolation_of), tuple(rule for _, rules in read for rule in rules)


def _isolation_of(top: Fields) -> Mapping[str, Isolation]:
    found: dict[str, Isolation] = {}
    for model, written in top.strings("isolationOf").items():
        if not _is_pattern(model):
            top.problem("isolationOf", f"expected a name, or the beginning of names and '*', got {what(model)}")
        elif written not in tuple(Isolation):
            top.problem("isolationOf", f"{model}: expected one of {', '.join(Isolation)}, got {what(written)}")
        else:
            found[model] = Isolation(written)
    return found


def _check_names(found: tuple[Tenant, ...], top: Fields) -> None:
    names: set[str] = set()
    clients: dict[str, str] = {}
    for index, each in enumerate(found):
        if each.name in names:
            top.problem(f"tenants[{index}].name", f"tenant {each.name} is there twice")
        names.add(each.name)
        for client in each.clients:
            owner = clients.setdefault(client, each.name)
            if owner != each.name:
                top.problem(f"tenants[{index}].clients", f"client {client} belongs to tenant {owner}, too")


def _tenant(meta: Meta, item: Fields) -> tuple[Tenant, tuple[Rule, ...]]:
    for key in ("fairnessId", "group", "costCentre"):
        if not item.text(key).isascii():
            item.problem(key, "expected ASCII text: it stands in headers and tables")
    name = item.text("name", required=True)
    if name and not NAME.fullmatch(name):
        item.problem("name", f"not a name: {name!r}; letters, digits, '.', '_', '@' and '-' make one")
    found = Tenant(
        name=name,
        clients=item.texts("clients", MOST_TENANTS),
        group=item.one_line("group", longest=LONGEST_NAME),
        models=_models(item),
        objectives=item.texts("objectives", MOST_NAMES),
        fairness_id=item.one_line("fairnessId", longest=LONGEST_NAME),
        is_trusted=item.boolean("trusted", default=False),
        priority_ceiling=item.integer("priorityCeiling", *_PRIORITIES),
        cost_centre=item.one_line("costCentre", longest=LONGEST_NAME),
        may_overflow=item.boolean("overflow", default=True),
    )
    rules = [
        quotas.rule(meta, f"{name}[{index}]", each, (Condition(ATTRIBUTE, name),))
        for index, each in enumerate(item.children("quotas", MOST_QUOTAS))
    ]
    item.done()
    return found, tuple(rule for rule in rules if rule is not None)


def _models(item: Fields) -> Models:
    models, bases = item.texts("models", MOST_NAMES), item.texts("adaptersOf", MOST_NAMES)
    for index, model in enumerate(models):
        if not _is_pattern(model):
            item.problem(f"models[{index}]", "expected a name, or the beginning of names and '*'")
    if item.has("models") and not models:
        item.problem("models", "may not be empty; leave it away to allow all")
    return Models(
        frozenset(model for model in models if not model.endswith("*")),
        tuple(model[:-1] for model in models if model.endswith("*")),
        frozenset(bases),
    )


def _is_pattern(model: str) -> bool:
    return bool(model) and "*" not in model[:-1]
