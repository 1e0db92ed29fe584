"""A ConfigMap labelled for tenants is read with the places of its mistakes; one with mistakes lets nobody pass."""

import pytest

from gateway.kube.objects import ConfigMap
from gateway.tenancy.tenants import Isolation, Models
from tests.unit.kube.documents import read_one

LABELS = "labels: {pointsman.dev/tenants: 'true'}"
HEAD = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: t, {LABELS}}}\ndata:\n  tenants: |\n"


def read(text: str) -> tuple[ConfigMap, list[str]]:
    found, problems, _ = read_one(HEAD + "".join(f"    {line}\n" for line in text.splitlines()))
    assert isinstance(found, ConfigMap)
    return found, [str(problem) for problem in problems]


def test_tenants_are_read() -> None:
    found, problems = read(
        "isolation: user\ntenants:\n- name: a\n  clients: [x]\n  models: [m, 'p-*']\n  adaptersOf: [b]\n"
        "  objectives: [low]\n  fairnessId: f\n  group: g\n  trusted: true\n  priorityCeiling: -2\n  costCentre: c\n"
        "  overflow: false\n  quotas: [{tokens: 9, per: minute}, {requests: 1, per: day, when: {model: m}}]\n"
        "isolationOf: {m: none, 'p-*': group}\n"
    )

    assert problems == []
    assert found.tenants is not None
    assert (found.tenants.isolation, found.tenants.is_sound) == (Isolation.USER, True)
    (tenant,) = found.tenants.tenants
    assert tenant.models == Models(frozenset({"m"}), ("p-",), frozenset({"b"}))
    assert (tenant.priority_ceiling, tenant.cost_centre, tenant.may_overflow) == (-2, "c", False)
    assert found.tenants.isolation_of == {"m": Isolation.NONE, "p-*": Isolation.GROUP}
    assert [(rule.limit, rule.conditions) for rule in found.quotas] == [
        (9, (("tenant", "a"),)),
        (1, (("model", "m"), ("tenant", "a"))),
    ]
    assert (tenant.name, tenant.clients, tenant.group, tenant.is_trusted) == ("a", ("x",), "g", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tenants: [", "data.tenants: line 2: not valid YAML"),
        ("isolation: some", "line 1: isolation: expected one of none, tenant, group, user, got 'some'"),
        ("tenants:\n- {name: a}\n- {name: a}", "line 3: tenants[1].name: tenant a is there twice"),
        ("tenants:\n- {name: a b}", "line 2: tenants[0].name: not a name: 'a b'"),
        ("tenants:\n- {name: a, clients: [x]}\n- {name: b, clients: [x]}", "client x belongs to tenant a, too"),
        ("tenants:\n- {name: a, models: [a*b]}", "tenants[0].models[0]: expected a name, or the beginning of names"),
        ("tenants:\n- {name: a, models: []}", "tenants[0].models: may not be empty; leave it away to allow all"),
        ("tenants:\n- {name: a, modles: [m]}", "modles"),
        ("tenants:\n- {name: a, priorityCeiling: x}", "line 2: tenants[0].priorityCeiling: expected a whole number"),
        ("isolationOf: {m: some}", "isolationOf: m: expected one of none, tenant, group, user"),
        ("isolationOf: {m*n: none}", "isolationOf: expected a name, or the beginning of names"),
        (
            "tenants:\n- {name: a, quotas: [{tokens: 1, per: minute, when: {tenant: b}}]}",
            "tenants[0].quotas[0].when.tenant: is given by the place of the rule",
        ),
        ("tenants:\n- {name: a, quotas: [{tokens: 1, per: eon}]}", "tenants[0].quotas[0].per: expected second"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_list_is_not_sound(text: str, said: str) -> None:
    found, problems = read(text)

    assert any(said in problem for problem in problems), problems
    assert found.tenants is not None
    assert not found.tenants.is_sound
