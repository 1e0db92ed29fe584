"""A status as people read it."""

from dataclasses import replace

import yaml

from controlplane.document import document, tree
from controlplane.plane import View
from controlplane.status.conditions import PolicyStatus, Status, unmet
from controlplane.status.tables import manifests, table
from controlplane.status.times import stamped
from controlplane.status.uptake import Refusal, Uptake
from tests.unit.controlplane.status.test_report import STATUS, G, P

VIEW = View(
    status=replace(
        STATUS,
        policies=(
            PolicyStatus("SecurityPolicy", P, unmet("Accepted", "Invalid", "no"), 3, "gateway.envoyproxy.io/v1alpha1"),
        ),
        warnings=("InferencePool default/q: no endpoint is known",),
    ),
    uptakes={"": Uptake("v", taken=("a",), refusals=(Refusal("b", "Listener: taken"),))},
)


def test_a_table_has_a_row_for_each_object_and_says_what_is_wrong() -> None:
    lines = table(tree(VIEW)).splitlines()

    assert lines[:2] == [
        "GATEWAY     ADDRESS   PROGRAMMED   ROUTES   MESSAGE",
        "default/g                          1",
    ]
    assert lines[3].split() == ["HTTPROUTE", "GATEWAY", "ACCEPTED", "RESOLVED", "MESSAGE"]
    assert lines[4].split(maxsplit=4) == [
        *("default/r", "g/http", "True", "False"),
        "BackendNotFound: no InferencePool default/x",
    ]
    assert [line.split(maxsplit=2) for line in lines if line.startswith(("a ", "b "))] == [
        ["a", "taken"],
        ["b", "refused", "Listener: taken"],
    ]
    assert lines[-1] == "warning: InferencePool default/q: no endpoint is known"


def test_nothing_at_all_is_an_empty_table() -> None:
    assert table(tree(View())) == manifests(tree(View())) == ""


def test_objects_have_their_kind_and_conditions() -> None:
    found = list(yaml.safe_load_all(manifests(tree(VIEW))))

    assert [(item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in found] == [
        ("gateway.networking.k8s.io/v1", "Gateway", "g"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "r"),
        ("inference.networking.k8s.io/v1", "InferencePool", "p"),
        ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy", "p"),
    ]
    assert found[3]["status"]["conditions"][0]["observedGeneration"] == 3
    assert found[1]["status"]["parents"][0]["parentRef"]["sectionName"] == "http"
    assert document(tree(VIEW)).startswith("{")


def test_a_time_changes_with_the_status_of_its_condition_and_with_nothing_else() -> None:
    first = stamped(STATUS, Status(), "1")
    (gateway,) = STATUS.gateways
    worse = replace(gateway, conditions=(unmet("Accepted", "Other", "new words"),))
    second = stamped(replace(STATUS, gateways=(worse,)), first, "2")
    third = stamped(replace(STATUS, gateways=(replace(worse, conditions=(unmet("Accepted", "Again"),)),)), second, "3")

    assert gateway.id == G
    assert [found.gateways[0].conditions[0].since for found in (first, second, third)] == ["1", "2", "2"]
    assert {item.since for item in third.routes[0].parents[0].conditions} == {"1"}
