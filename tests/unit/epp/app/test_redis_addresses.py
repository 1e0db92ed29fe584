"""Where Redis is, as URLs say it."""

import pytest

from epp.sharing.redis_client import RedisAddressError, read_address


def test_one_server_is_what_the_client_makes_of_its_url() -> None:
    found = read_address("rediss://ana@redis:6380/2?ssl_ca_certs=/ca.pem")
    assert (found.kind, found.options["host"], found.options["port"], found.options["db"]) == (
        "single", "redis", 6380, 2,
    )  # fmt: skip
    assert (found.options["username"], found.options["ssl_ca_certs"]) == ("ana", "/ca.pem")


def test_a_master_behind_sentinels_is_named_in_the_path() -> None:
    found = read_address("redis+sentinel://ana:secret@s1,s2:26380/main/3")
    assert (found.kind, found.hosts, found.service) == ("sentinel", (("s1", 26379), ("s2", 26380)), "main")
    assert {name: found.options[name] for name in ("username", "password", "db")} == {
        "username": "ana", "password": "secret", "db": 3,
    }  # fmt: skip
    assert "secret" not in repr(found)


def test_any_nodes_of_a_cluster_will_do() -> None:
    found = read_address("redis+cluster://n1:7000,[::1]:7001")
    assert (found.kind, found.hosts) == ("cluster", (("n1", 7000), ("::1", 7001)))


@pytest.mark.parametrize(
    "url",
    [
        "", "redis", "http://redis:6379", "redis+raft://redis:6379", "redis+sentinel://s1:26379", "redis+cluster://:1",
        "redis://redis:port", "redis+cluster://n1:port",
    ],
)  # fmt: skip
def test_what_names_no_redis_is_refused(url: str) -> None:
    with pytest.raises(RedisAddressError):
        read_address(url)
