"""Selectors of labels by equality and by expressions."""

from gateway.kube.objects import (
    Gateway,
)
from tests.unit.kube.documents import head, read_one


def test_namespaces_are_selected_by_labels_and_expressions() -> None:
    found, problems, _ = read_one(
        head("Gateway") + "spec:\n  gatewayClassName: c\n  listeners:\n  - name: a\n    port: 80\n    protocol: HTTP\n"
        "    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}, matchExpressions: "
        "[{key: tier, operator: In, values: [x, y]}, {key: tier, operator: NotIn, values: [z]}, "
        "{key: open, operator: Exists}, {key: shut, operator: DoesNotExist}]}}}\n"
    )

    assert isinstance(found, Gateway)
    assert problems == []
    selector = found.listeners[0].namespace_selector
    assert selector.matches({"team": "a", "tier": "x", "open": ""})
    for labels in (
        {"team": "b", "tier": "x", "open": ""},
        {"team": "a", "tier": "z", "open": ""},
        {"team": "a", "open": ""},
        {"team": "a", "tier": "x"},
        {"team": "a", "tier": "x", "open": "", "shut": ""},
    ):
        assert not selector.matches(labels)


def test_an_expression_has_the_values_that_its_operator_takes() -> None:
    _, problems, _ = read_one(
        head("Gateway") + "spec:\n  gatewayClassName: c\n  listeners:\n  - name: a\n    port: 80\n    protocol: HTTP\n"
        "    allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: "
        "[{key: a, operator: In}, {key: b, operator: Exists, values: [x]}, {key: c}]}}}\n"
    )

    path = "spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions"
    assert [problem.split()[1].rstrip(":") for problem in problems] == [
        f"{path}[0].values",
        f"{path}[1].values",
        f"{path}[2].operator",
    ]
