"""Resources and discovery messages as bytes."""

from typing import Any

import pytest
from google.protobuf import any_pb2, struct_pb2

from controlplane.options import Options
from controlplane.render import render
from gateway import protos
from gateway.kube.sources.files import load
from gateway.xds.codec import Codec, UnknownFieldError
from gateway.xds.messages import Dialect, Resource, Response
from tests.conftest import ROOT
from tests.contract.envoy.test_validation import ADDRESSES, OPTIONS, SETS, folders

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
CODEC = Codec()


def message(name: str, data: bytes = b"", **fields: Any) -> Any:
    kind = protos.message_class(protos.load_pool(), f"envoy.service.discovery.v3.{name}")
    return kind.FromString(data) if data else kind(**fields)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("options", OPTIONS)
def test_every_rendered_resource_can_be_sent(name: str, options: Options) -> None:
    """A field that is missing in libs/gateway/proto is named here."""
    snapshot = render(load(folders(ROOT, name)).manifests, ADDRESSES, options).snapshot

    for found in snapshot.resources.values():
        for item in found:
            assert CODEC.resource(item.name, item.version, item.body).content


def test_a_field_that_is_not_defined_is_named() -> None:
    with pytest.raises(UnknownFieldError, match=r"Cluster a: .*brand_new"):
        CODEC.resource("a", "1", {"@type": CLUSTER, "name": "a", "brand_new": 1})


def test_an_extension_travels_as_it_is() -> None:
    typed = {"@type": "type.googleapis.com/any.Extension", "of": [1, "x", True, None, {"deep": {}}]}
    socket = {"name": "s", "typed_config": typed}
    found = CODEC.resource("a", "1", {"@type": CLUSTER, "name": "a", "transport_socket": socket})

    cluster = protos.message_class(protos.load_pool(), "envoy.config.cluster.v3.Cluster")
    packed = any_pb2.Any.FromString(
        cluster.FromString(any_pb2.Any.FromString(found.content).value).transport_socket.typed_config
    )
    opaque = protos.message_class(protos.load_pool(), "xds.type.v3.TypedStruct").FromString(packed.value)
    assert packed.type_url.endswith("xds.type.v3.TypedStruct")
    assert opaque.type_url == typed["@type"]
    assert list(struct_pb2.Struct.FromString(opaque.value)["of"])[:3] == [1, "x", True]


def test_requests_are_read_in_both_dialects() -> None:
    state = message(
        "DiscoveryRequest",
        node={"id": "n"},
        type_url=CLUSTER,
        resource_names=["a"],
        response_nonce="7",
        error_detail={"code": 3, "message": "bad"},
    )
    delta = message(
        "DeltaDiscoveryRequest",
        type_url=CLUSTER,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"c": "1"},
        error_detail={},
    )
    first = CODEC.decode(Dialect.STATE, state.SerializeToString())
    second = CODEC.decode(Dialect.DELTA, delta.SerializeToString())

    assert (first.node, first.type_name, first.nonce, first.error, first.names) == ("n", CLUSTER, "7", "bad", ("a",))
    assert (second.names, second.unwanted, second.versions) == (("a",), ("b",), {"c": "1"})
    assert second.error == "refused", "a refusal without a word is one, too"


def test_responses_are_written_in_both_dialects() -> None:
    content = any_pb2.Any(type_url=CLUSTER, value=b"x").SerializeToString()
    response = Response(CLUSTER, "v", "n", (Resource("a", "1", content),), ("gone",))
    state = message("DiscoveryResponse", CODEC.encode(Dialect.STATE, response))
    delta = message("DeltaDiscoveryResponse", CODEC.encode(Dialect.DELTA, response))

    assert (state.version_info, state.nonce, state.type_url, list(state.resources)) == ("v", "n", CLUSTER, [content])
    assert [(item.name, item.version, item.resource) for item in delta.resources] == [("a", "1", content)]
    assert (delta.system_version_info, list(delta.removed_resources)) == ("v", ["gone"])
