"""What has to be written so that objects are as they are wanted."""

from typing import Any

import pytest

from gateway.kube.sources.cluster.drift import Applied, Live, changes, holds, key_of, live
from gateway.kube.sources.source import Wanted

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "namespace": "n", "labels": {"a": "b"}},
    "spec": {"ports": [{"port": 80, "targetPort": 10080}]},
}
NOTHING: Applied = {}


def found(version: str = "1", owner: str = "u-1", **spec: object) -> Live:
    metadata = {
        **SERVICE["metadata"],
        "uid": "s-1",
        "resourceVersion": version,
        "ownerReferences": [{"uid": owner}],
    }
    made = live({**SERVICE, "metadata": metadata, "spec": {**SERVICE["spec"], **spec}})
    assert made is not None
    return made


def test_what_is_missing_is_applied_and_what_is_there_is_not() -> None:
    wanted = Wanted((SERVICE,), frozenset({"u-1"}))

    assert changes(wanted, [], NOTHING) == ([SERVICE], [])
    assert changes(wanted, [found(clusterIP="10.0.0.1")], NOTHING) == ([], []), "the server's own fields are its own"


def test_what_somebody_changed_is_put_right() -> None:
    assert changes(Wanted((SERVICE,)), [found(ports=[{"port": 81}])], NOTHING).applied == [SERVICE]


def test_what_the_server_has_another_opinion_of_is_applied_once_for_each_change() -> None:
    wanted, other = Wanted((SERVICE,)), found("7", ports=[])
    applied = {key_of(SERVICE): (SERVICE, "7")}

    assert changes(wanted, [other], applied).applied == []
    assert changes(wanted, [found("8", ports=[])], applied).applied == [SERVICE]
    changed = {**SERVICE, "spec": {"ports": [{"port": 90}]}}
    assert changes(Wanted((changed,)), [other], applied).applied == [changed]


def test_of_two_that_are_wanted_under_one_name_the_first_counts_at_each_look() -> None:
    other = {**SERVICE, "spec": {"ports": [{"port": 90}]}}

    assert changes(Wanted((SERVICE, other)), [], NOTHING).applied == [SERVICE]
    assert changes(Wanted((SERVICE, other)), [found()], NOTHING).applied == []


def test_only_what_belongs_to_a_known_owner_goes() -> None:
    assert changes(Wanted((), frozenset({"u-1"})), [found()], NOTHING).deleted == [found()]
    assert changes(Wanted((), frozenset({"u-2"})), [found()], NOTHING).deleted == []
    assert changes(Wanted((), frozenset({""})), [found(owner="u-3")], NOTHING).deleted == []


@pytest.mark.parametrize(
    ("value", "wanted", "is_held"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": 1}, False),
        ([1, 2], [1], False),
        ([{"a": 1, "x": 0}], [{"a": 1}], True),
        (None, {}, False),
        (None, [], False),
        (True, 1, True),
        ("1", 1, False),
    ],
)
def test_a_value_holds_what_is_wanted_if_it_has_all_of_it(value: object, wanted: object, is_held: bool) -> None:
    assert holds(value, wanted) is is_held


@pytest.mark.parametrize("data", [{}, {"metadata": None}, {"metadata": {"name": ""}}])
def test_what_has_no_name_is_no_object(data: dict[str, Any]) -> None:
    assert live(data) is None
