"""Certificates between Envoys and the control plane: for one name each, and the same wherever they are made."""

import datetime

import pytest
from cryptography import x509

from controlplane.deployment.authority import Authority, AuthorityError, identity, is_authorized, new_authority
from gateway.rpc.tls import check
from gateway.xds.messages import Request

NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
MONTH = datetime.timedelta(days=30)


@pytest.fixture(scope="module")
def data() -> dict[str, bytes]:
    return dict(new_authority(NOW))


def test_every_replica_makes_the_same_certificate(data: dict[str, bytes]) -> None:
    one, other = Authority(data), Authority(data)

    assert one.client("infra/edge", NOW) == other.client("infra/edge", NOW + datetime.timedelta(minutes=1))
    assert one.client("infra/edge", NOW) != one.client("infra/other", NOW)
    assert Authority(new_authority(NOW)).client("infra/edge", NOW) != one.client("infra/edge", NOW)


def test_a_certificate_counts_while_its_successor_is_taken(data: dict[str, bytes]) -> None:
    authority = Authority(data)
    first = x509.load_pem_x509_certificate(authority.client("infra/edge", NOW).certificate)
    second = x509.load_pem_x509_certificate(authority.client("infra/edge", NOW + MONTH).certificate)

    assert first.not_valid_before_utc <= NOW
    assert first.public_key() != second.public_key()
    assert first.not_valid_after_utc - second.not_valid_before_utc > MONTH
    issuer = x509.load_pem_x509_certificate(data["ca.crt"])
    first.verify_directly_issued_by(issuer)
    second.verify_directly_issued_by(issuer)


def test_what_it_gives_can_be_served_with(data: dict[str, bytes]) -> None:
    check(Authority(data).server("pointsman.system.svc", NOW), data["ca.crt"])


@pytest.mark.parametrize("part", ["ca.crt", "ca.key"])
def test_a_secret_that_holds_no_authority_is_refused_by_the_part_that_is_wrong(
    data: dict[str, bytes], part: str
) -> None:
    without = {key: value for key, value in data.items() if key != part}
    for wrong in (without, {**data, part: b"nothing"}):
        with pytest.raises(AuthorityError, match=part):
            Authority(wrong)


@pytest.mark.parametrize(
    ("names", "is_let"),
    [
        ([identity("infra/edge")], True),
        ([identity("infra/other")], False),
        ([identity("infra/edge2"), "pointsman.system.svc"], False),
        ([], False),
    ],
)
def test_a_proxy_is_authorized_for_its_own_gateway_alone(names: list[str], is_let: bool) -> None:
    assert is_authorized(Request("type", cluster="infra/edge"), names) is is_let
