"""Which backends of a rule get requests at once, and which stand behind them."""

from controlplane.plan.entries import Backend, ServicePortRef
from controlplane.plan.tiers import tiered
from controlplane.status.conditions import unmet
from gateway.kube.objects import BackendRef, Changes, ObjectName

GONE = unmet("ResolvedRefs", "BackendNotFound")


def ref(name: str, priority: int) -> BackendRef:
    return BackendRef("", "Service", ObjectName("n", name), port=80, weight=1, filters=(), priority=priority)


def backend(name: str, *, is_there: bool = True, changes: Changes | None = None) -> Backend:
    target = ServicePortRef(ObjectName("n", name), 80) if is_there else None
    return Backend(1, (), target, None if is_there else GONE, changes or Changes())


def shown(found: Backend) -> tuple[int, list[list[str]]]:
    tiers = [[each.target.id.name for each in tier if isinstance(each.target, ServicePortRef)] for tier in found.lower]
    return found.weight, tiers


def test_backends_of_one_priority_have_nothing_behind_them() -> None:
    one, two = tiered("r", [ref("a", 3), ref("b", 3)], [backend("a"), backend("b")])

    assert (shown(one), shown(two), one.own) == ((1, []), (1, []), "")


def test_the_first_tier_gets_all_and_falls_back_to_its_fellows_then_by_number() -> None:
    refs = [ref("c", 7), ref("a", 0), ref("b", 0), ref("d", 2)]
    c, a, b, d = tiered("r", refs, [backend(name) for name in "cabd"])

    assert (shown(a), shown(b)) == ((1, [["b"], ["d"], ["c"]]), (1, [["a"], ["d"], ["c"]]))
    assert (shown(c), shown(d)) == ((0, []), (0, []))
    assert (a.own, b.own) == ("r_1", "r_2")


def test_what_a_backend_refuses_goes_on_unless_it_is_in_the_last_tier() -> None:
    refs = [ref("a", 0), ref("b", 0), ref("c", 1), ref("d", 2)]
    a, *_ = tiered("r", refs, [backend(name) for name in "abcd"])

    behind = [each for tier in a.lower for each in tier]
    assert [(each.own, each.is_followed) for each in behind] == [("r_1", True), ("r_2", True), ("r_3", False)]


def test_a_tier_that_leads_nowhere_is_skipped() -> None:
    gone, there = tiered("r", [ref("a", 0), ref("b", 1)], [backend("a", is_there=False), backend("b")])

    assert (shown(gone), shown(there)) == ((0, []), (1, []))


def test_where_all_lead_nowhere_each_keeps_its_share() -> None:
    found = tiered("r", [ref("a", 0), ref("b", 1)], [backend(name, is_there=False) for name in "ab"])

    assert [each.weight for each in found] == [1, 1]


def test_a_backend_whose_requests_change_has_a_cluster_of_its_own() -> None:
    (found,) = tiered("r", [ref("a", 0)], [backend("a", changes=Changes(prefix="x"))])

    assert found.own == "r_0"
