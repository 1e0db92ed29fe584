"""Events about objects that are refused: one for each object and each thing said, whoever writes it."""

from typing import Any

from gateway.kube.reading.contents import Entry, cluster_entry
from gateway.kube.sources.cluster.events import LONGEST_MESSAGE, MOST, events


def entry(name: str = "g", port: object = 80000, kind: str = "Gateway", **spec: object) -> Entry:
    listeners = [{"name": "http", "port": port, "protocol": "HTTP"}]
    found = cluster_entry({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "infra", "uid": "u-1"},
        "spec": spec or {"gatewayClassName": "c", "listeners": listeners},
    })  # fmt: skip
    assert found is not None
    return found


def of(*entries: Entry, stamp: str = "2026-11-28T00:00:00Z") -> list[dict[str, Any]]:
    return [dict(each) for each in events([entries], "pointsman.dev/controlplane", stamp).values()]


def test_an_object_with_a_problem_has_one_and_another_has_none() -> None:
    (found,) = of(entry(), entry("good", 80))

    assert found["involvedObject"] == {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "namespace": "infra",
        "name": "g",
        "uid": "u-1",
    }
    assert (found["type"], found["reason"]) == ("Warning", "Refused")
    assert "spec.listeners[0].port: expected 1 to 65535, got 80000" in found["message"]
    assert found["metadata"]["namespace"] == "infra"


def test_of_very_many_objects_the_first_have_one() -> None:
    found = of(*(entry(f"g-{number}") for number in range(MOST + 1)))

    assert [each["involvedObject"]["name"] for each in found] == [f"g-{number}" for number in range(MOST)]


def test_the_same_problem_has_the_same_name_and_another_one_another() -> None:
    first, again, other = of(entry())[0], of(entry(), stamp="later")[0], of(entry(port=90000))[0]

    assert first["metadata"] == again["metadata"]
    assert first["metadata"]["name"] != other["metadata"]["name"]


def test_one_of_the_whole_cluster_is_told_of_in_the_default_namespace() -> None:
    (found,) = of(entry("c", kind="GatewayClass", controllerName=1))

    assert found["metadata"]["namespace"] == "default"
    assert "namespace" not in found["involvedObject"]


def test_what_is_too_long_for_the_api_is_shortened() -> None:
    long = [{"name": f"listener-{number}", "port": 0, "protocol": "HTTP"} for number in range(60)]
    (found,) = of(entry("n" * 253, gatewayClassName="c", listeners=long))

    assert len(found["message"]) == LONGEST_MESSAGE
    assert len(found["metadata"]["name"]) <= 253
