"""The status that is written, from the one that is there and the one that is wanted."""

from typing import Any

from gateway.kube.sources.cluster.statuses import merged

OURS, THEIRS = "pointsman.dev/controlplane", "other.dev/controller"


def condition(type_: str = "Accepted", status: str = "True", since: str = "T2", **more: object) -> dict[str, object]:
    return {"type": type_, "status": status, "reason": type_, "message": "", "lastTransitionTime": since, **more}


def parent(name: str, controller: str = OURS, *conditions: dict[str, object]) -> dict[str, object]:
    ref = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "infra", "name": name}
    return {"parentRef": ref, "controllerName": controller, "conditions": list(conditions or (condition(),))}


def changed(current: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    found = merged(current, wanted, OURS)
    assert found is not None
    return dict(found)


def test_a_first_status_is_written_as_it_is() -> None:
    wanted = {"parents": [parent("a")]}

    assert changed({}, wanted) == wanted


def test_entries_of_other_controllers_stay() -> None:
    theirs = parent("b", THEIRS)
    found = changed({"parents": [theirs, parent("gone")]}, {"parents": [parent("a")]})

    assert found["parents"] == [theirs, parent("a")]


def test_a_route_that_has_left_keeps_the_entries_of_others_alone() -> None:
    theirs = parent("b", THEIRS)

    assert changed({"parents": [parent("a"), theirs]}, {"parents": []}) == {"parents": [theirs]}
    assert merged({"parents": [theirs]}, {"parents": []}, OURS) is None
    assert merged({}, {"parents": []}, OURS) is None


def test_what_the_object_has_is_not_written_again_whatever_the_time_or_the_place() -> None:
    current = {"parents": [parent("a", OURS, condition(since="T1")), parent("b", THEIRS)]}

    assert merged(current, {"parents": [parent("a")]}, OURS) is None


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    current = {"conditions": [condition(since="T1"), condition("Programmed", "False", "T1")]}
    wanted = {"conditions": [condition(reason="Other"), condition("Programmed", "True")]}

    found = changed(current, wanted)
    assert [each["lastTransitionTime"] for each in found["conditions"]] == ["T1", "T2"]


def test_a_new_generation_is_written() -> None:
    current = {"conditions": [condition(observedGeneration=1)]}

    assert changed(current, {"conditions": [condition(observedGeneration=2)]})


def test_listeners_are_compared_by_name() -> None:
    listener = {"name": "http", "attachedRoutes": 1, "conditions": [condition(since="T1")]}
    wanted = {"listeners": [{**listener, "conditions": [condition()]}], "addresses": []}

    assert merged({"listeners": [listener]}, wanted, OURS) is None
    found = changed({"listeners": [listener]}, {"listeners": [{**wanted["listeners"][0], "attachedRoutes": 2}]})
    assert found["listeners"] == [{**listener, "attachedRoutes": 2}]


def test_a_status_of_another_form_is_replaced() -> None:
    assert changed({"parents": "none", "conditions": [1]}, {"parents": [parent("a")]}) == {"parents": [parent("a")]}
