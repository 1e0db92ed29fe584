"""Which host names match which."""

import pytest

from controlplane.plan.hosts import covers, intersect, specificity


@pytest.mark.parametrize(
    ("listener", "route", "both"),
    [
        ("", "", ""),
        ("", "a.example.com", "a.example.com"),
        ("a.example.com", "", "a.example.com"),
        ("a.example.com", "a.example.com", "a.example.com"),
        ("a.example.com", "b.example.com", None),
        ("*.example.com", "a.example.com", "a.example.com"),
        ("*.example.com", "a.b.example.com", "a.b.example.com"),
        ("*.example.com", "example.com", None),
        ("a.example.com", "*.example.com", "a.example.com"),
        ("*.example.com", "*.b.example.com", "*.b.example.com"),
        ("*.b.example.com", "*.example.com", "*.b.example.com"),
        ("*.example.com", "*.example.org", None),
        ("*.example.com", "badexample.com", None),
    ],
)
def test_the_hosts_that_a_listener_and_a_route_share(listener: str, route: str, both: str | None) -> None:
    assert intersect(listener, route) == both


def test_the_most_specific_host_comes_first() -> None:
    names = ["", "*.example.com", "example.com", "*.a.example.com", "b.a.example.com"]

    assert sorted(names, key=specificity) == ["b.a.example.com", "*.a.example.com", "example.com", "*.example.com", ""]


def test_a_wildcard_covers_narrower_wildcards_and_not_itself_without_a_label() -> None:
    assert covers("*.example.com", "*.a.example.com")
    assert not covers("*.a.example.com", "*.example.com")
    assert not covers("a.example.com", "*.example.com")
