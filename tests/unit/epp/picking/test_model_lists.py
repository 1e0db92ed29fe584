"""Requests for the list of models, or for one of them."""

import orjson
import pytest

from epp.domain import Reply, Request, ServedModel
from epp.picking import model_lists
from gateway.wire.errors import Rejection

LISTING = model_lists.document(
    [
        ServedModel("food", {"id": "food", "parent": "Qwen/Qwen3"}),
        ServedModel("Qwen/Qwen3", {"id": "Qwen/Qwen3", "parent": None}),
        ServedModel("food", {"id": "food", "parent": "another"}),
    ],
    (),
)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models", ""),
        ("/v1/models/", ""),
        ("/v1/models?limit=5", ""),
        ("/llm/v1/models", ""),
        ("/v1/models/food", "food"),
        ("/v1/models/Qwen/Qwen3", "Qwen/Qwen3"),
        ("/v1/models/Qwen%2FQwen3/?a=b", "Qwen/Qwen3"),
        ("/v1/modelsx", None),
        ("/v1/chat/completions", None),
        ("/v1/chat?next=/v1/models", None),
    ],
)
def test_a_path_asks_for_the_list_or_a_model(path: str, model: str | None) -> None:
    assert model_lists.requested(Request(None, "GET", path, {})) == model
    assert model_lists.requested(Request(None, "HEAD", path, {})) == model
    assert model_lists.requested(Request(None, "POST", path, {})) is None


def test_bases_come_before_adapters_and_the_first_item_of_an_id_counts() -> None:
    assert orjson.loads(LISTING) == {
        "object": "list",
        "data": [{"id": "Qwen/Qwen3", "parent": None}, {"id": "food", "parent": "Qwen/Qwen3"}],
    }


def test_a_list_names_the_pools_that_gave_no_models() -> None:
    assert orjson.loads(model_lists.document((), ["n/b", "n/a", "n/b"]))["incomplete"] == ["n/a", "n/b"]


def test_one_model_is_its_item_and_an_unknown_one_a_404() -> None:
    found, missing = model_lists.verdict(LISTING, "food"), model_lists.verdict(LISTING, "foo")

    assert isinstance(found, Reply)
    assert orjson.loads(found.body) == {"id": "food", "parent": "Qwen/Qwen3"}
    assert isinstance(missing, Rejection)
    assert (missing.status, missing.code, missing.param) == (404, "model_not_found", "model")
