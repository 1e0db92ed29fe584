"""The router judges callers: before their body comes, by the model that it names, and with a salt for what passes."""

import gzip
from typing import Any

import orjson
import pytest

from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    Direction,
    HeadersReceived,
    ImmediateReply,
    Modes,
)
from gateway.router.conversation import Reading, RouterConversation, Routing
from gateway.router.metrics import Metrics
from gateway.routing.catalogue import default_plugins
from gateway.routing.chain import Chain
from gateway.tenancy.identity import Access
from gateway.tenancy.keys import client, read
from gateway.tenancy.salting import Salter
from gateway.tenancy.tenants import Isolation, Models, Tenant, TenantList, tenants_of

REQUEST = Direction.REQUEST
CHAIN = Chain(default_plugins(), Metrics("test"))
KEY = {"content-type": "application/json", "authorization": "Bearer key", ":path": "/v1/chat/completions"}
BODY = orjson.dumps({"model": "m", "prompt": "x", "cache_salt": "mine"})
SALT = Salter(b"s").salt(Isolation.TENANT, "a", "", "alice")


def access(models: Models | None = None, isolation: Isolation = Isolation.TENANT) -> Access:
    tenant = Tenant("a", models=models or Models())
    return Access(
        read(client("alice", "a", "key").line, "f"), tenants_of([TenantList(isolation, (tenant,))]), Salter(b"s")
    )


def talk(
    given: Access, seen: list[Reading], mode: BodyMode = BodyMode.BUFFERED, keep: Any = None
) -> RouterConversation:
    return RouterConversation(Routing(CHAIN, keep=keep, access=given), seen.append, Modes(mode, BodyMode.NONE))


def answered(
    given: Access, headers: dict[str, str] = KEY, body: bytes = BODY, **options: Any
) -> tuple[Any, list[Reading]]:
    seen: list[Reading] = []
    conversation = talk(given, seen, **options)
    replies = [*conversation.receive(HeadersReceived(REQUEST, headers, end_of_stream=not body), 0.0)]
    if body and not conversation.is_finished:
        replies += conversation.receive(BodyReceived(REQUEST, body, end_of_stream=True), 0.0)
    assert conversation.is_finished
    return replies[-1], seen


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, BodyMode.STREAMED, BodyMode.NONE])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_caller_that_is_not_known_is_refused_before_its_body(mode: BodyMode, is_whole: bool) -> None:
    seen: list[Reading] = []
    conversation = talk(access(), seen, mode)
    headers = {**KEY, "authorization": "Bearer other", ":path": "/v1/messages"}
    (reply,) = conversation.receive(HeadersReceived(REQUEST, headers, end_of_stream=is_whole), 0.0)

    assert isinstance(reply, ImmediateReply)
    assert (reply.status, orjson.loads(reply.body)["error"]["type"]) == (401, "authentication_error")
    assert (conversation.is_finished, seen) == (True, [Reading.DENIED])


def test_a_model_that_is_not_allowed_does_not_exist() -> None:
    reply, seen = answered(access(Models(frozenset({"other"}))))

    assert reply.status == 404
    assert orjson.loads(reply.body)["error"]["message"] == "The model 'm' does not exist."
    assert seen[-1] is Reading.DENIED


def test_what_passes_has_the_tenants_salt_and_no_key() -> None:
    reply, seen = answered(access())

    assert isinstance(reply, BodyReply)
    assert reply.body is not None
    assert orjson.loads(reply.body) == {"model": "m", "prompt": "x", "cache_salt": SALT}
    assert dict(reply.mutation.set_headers)["x-gateway-tenant"] == "a"
    assert reply.mutation.remove_headers == ("authorization",)
    assert seen == [Reading.FOUND]


def test_a_compressed_body_goes_on_as_it_was_before() -> None:
    reply, _ = answered(access(), {**KEY, "content-encoding": "gzip"}, gzip.compress(BODY))

    assert orjson.loads(reply.body)["cache_salt"] == SALT
    assert "content-encoding" in reply.mutation.remove_headers


def test_a_fused_picker_gets_the_body_with_the_salt() -> None:
    kept: list[bytes] = []

    def keep(body: bytes, _document: object) -> str:
        kept.append(body)
        return "1"

    reply, _ = answered(access(), keep=keep)
    assert kept == [reply.body]


def test_without_isolation_the_body_stays_as_it_is() -> None:
    assert answered(access(isolation=Isolation.NONE))[0].body is None


def test_a_body_that_is_not_whole_is_refused_where_the_whole_counts() -> None:
    seen: list[Reading] = []
    conversation = talk(access(), seen, BodyMode.BUFFERED_PARTIAL)
    conversation.receive(HeadersReceived(REQUEST, KEY, end_of_stream=False), 0.0)
    (reply,) = conversation.receive(BodyReceived(REQUEST, BODY[:20], end_of_stream=False), 0.0)

    assert isinstance(reply, ImmediateReply)


def test_a_form_has_no_salt() -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\n'
    reply, _ = answered(access(), {**KEY, "content-type": "multipart/form-data; boundary=b"}, form)

    assert reply.body is None
    assert dict(reply.mutation.set_headers)["x-gateway-model-name"] == "m"
