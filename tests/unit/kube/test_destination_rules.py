"""Istio's DestinationRule is read as far as it counts, and strictly."""

import pytest

from gateway.kube.objects import Balancer, ConsistentHash, DestinationRule, Ejection, HashedBy, TlsMode
from tests.unit.kube.documents import head, read_one


def test_a_destination_rule_is_read_as_far_as_it_counts() -> None:
    found, problems, notes = read_one(
        head("DestinationRule", "networking.istio.io/v1")
        + "spec:\n  host: epp\n  subsets: [{name: v1}]\n  trafficPolicy:\n    loadBalancer: {simple: RANDOM}\n"
        "    tls: {mode: SIMPLE, insecureSkipVerify: true}\n"
        "    connectionPool: {tcp: {connectTimeout: 2s}, http: {http1MaxPendingRequests: 3}}\n"
        "    outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 5s}\n"
        "    portLevelSettings: [{port: {number: 9}, tls: {mode: DISABLE}}]\n"
    )

    assert problems == []
    assert len(notes) == 1
    assert "spec.subsets[0]: without effect here" in notes[0]
    assert isinstance(found, DestinationRule)
    tls = found.at(1).tls
    assert tls is not None
    assert (tls.mode, tls.insecure_skip_verify) == (TlsMode.SIMPLE, True)
    assert (found.at(1).connect_timeout, found.at(1).max_pending, found.at(1).balancer) == (2.0, 3, Balancer.RANDOM)
    assert found.at(1).ejection == Ejection(consecutive_5xx=2, base_time=5.0)
    plaintext = found.at(9).tls
    assert plaintext is not None
    assert (plaintext.mode, found.at(9).connect_timeout) == (TlsMode.DISABLE, None)


def balancer_of(written: str) -> tuple[object, list[str]]:
    found, problems, _ = read_one(
        head("DestinationRule", "networking.istio.io/v1")
        + f"spec: {{host: s, trafficPolicy: {{loadBalancer: {{consistentHash: {written}}}}}}}\n"
    )
    assert isinstance(found, DestinationRule)
    return found.policy.balancer, [problem.partition("consistentHash")[2] for problem in problems]


def test_a_consistent_hash_is_read() -> None:
    assert balancer_of("{httpHeaderName: x-user, minimumRingSize: 64}") == (
        ConsistentHash(HashedBy.HEADER, "x-user", least_ring_size=64),
        [],
    )
    assert balancer_of("{httpCookie: {name: c, path: /a, ttl: 1m}, maglev: {}}") == (
        ConsistentHash(HashedBy.COOKIE, "c", "/a", 60.0, table_size=65537),
        [],
    )


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{}", "expected one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName"),
        ("{httpHeaderName: a, useSourceIp: true}", "expected one of"),
        ("{httpHeaderName: 'a b'}", "not a header name"),
        ("{httpHeaderName: a, maglev: {tableSize: 100}}", "expected a prime number, got 100"),
        ("{httpHeaderName: a, maglev: {}, ringHash: {}}", "only one of ringHash and maglev"),
        ("{httpHeadrName: a, useSourceIp: true}", "did you mean 'httpHeaderName'?"),
    ],
)
def test_a_consistent_hash_that_means_nothing_is_an_error(written: str, message: str) -> None:
    _, problems = balancer_of(written)

    assert [message in problem for problem in problems] == [True], problems
