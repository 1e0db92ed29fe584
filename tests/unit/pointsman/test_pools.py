"""Servers of one base model are one pool, and what cannot be told apart is refused."""

import pytest

from pointsman.backends.pools import Pool, pool_name, pools_of
from pointsman.backends.server import InvalidBackendError, Models, Server, server_of

ONE, TWO, THREE = (server_of(f"http://10.0.0.{number}:8000") for number in (1, 2, 3))


def models(*names: str, adapters: tuple[str, ...] = (), root: str = "") -> Models:
    return Models(names, root or names[0], adapters)


def test_servers_of_one_model_are_one_pool_with_the_adapters_of_all() -> None:
    found = {ONE: models("Qwen/Qwen3-32B", adapters=("a",)), TWO: models("Qwen/Qwen3-32B", adapters=("a", "b"))}

    assert pools_of(found) == (Pool("qwen3-32b", ("Qwen/Qwen3-32B",), ("a", "b"), (ONE, TWO)),)


def test_a_server_with_two_names_joins_the_pools_of_both() -> None:
    found = {ONE: models("x", root="r"), TWO: models("y", root="r"), THREE: models("x", "y", root="r")}

    (pool,) = pools_of(found)
    assert set(pool.servers) == {ONE, TWO, THREE}
    assert set(pool.names) == {"x", "y"}


def test_servers_of_two_models_are_two_pools() -> None:
    assert [pool.name for pool in pools_of({ONE: models("b/two"), TWO: models("a/one")})] == ["one", "two"]


def test_two_models_of_one_last_name_are_told_apart() -> None:
    names = [pool.name for pool in pools_of({ONE: models("a/model"), TWO: models("b/model")})]

    assert len(set(names)) == 2
    assert all(name.startswith("model-") for name in names)


def test_one_model_under_two_names_is_refused_with_the_remedy() -> None:
    found = {ONE: models("qwen", root="Qwen/Qwen3-32B"), TWO: models("Qwen/Qwen3-32B")}

    with pytest.raises(InvalidBackendError, match=r"10\.0\.0\.1.*10\.0\.0\.2.*--served-model-name"):
        pools_of(found)


def test_an_adapter_of_two_base_models_is_refused() -> None:
    found = {ONE: models("x", adapters=("reviews",)), TWO: models("y", adapters=("reviews",))}

    with pytest.raises(InvalidBackendError, match="'reviews' is served by"):
        pools_of(found)


@pytest.mark.parametrize(
    ("model", "name"),
    [("Qwen/Qwen3-32B", "qwen3-32b"), ("/models/llama_3.1/", "model"), ("x" * 100, "x" * 40), ("模型", "model")],
)
def test_a_pool_is_named_after_its_model_as_kubernetes_allows(model: str, name: str) -> None:
    assert pool_name(model) == name


def test_the_order_of_servers_changes_no_pool() -> None:
    found: dict[Server, Models] = {ONE: models("x"), TWO: models("y"), THREE: models("x")}
    turned = dict(reversed(found.items()))

    assert {(pool.name, frozenset(pool.servers)) for pool in pools_of(found)} == {
        (pool.name, frozenset(pool.servers)) for pool in pools_of(turned)
    }
