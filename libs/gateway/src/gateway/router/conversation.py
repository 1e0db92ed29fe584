"""The body-based router's conversation: what a JSON body says becomes headers that a route can match on. Pure.

    a JSON object, a form    the plugins decide: by default the model and its base model become headers
    no model, no JSON body   the request goes on without them
    malformed JSON, JSON that is no object, a model that is no string or no name: 400, but only for JSON content types
    more structure than any prompt has: 413, likewise

The reference sets the base header to an empty string for an unknown model; here it stays away, so that a route can
match its absence and an unknown model falls through to "model not found". A client's own values are removed. A plugin
that asks for an embedding makes the request wait; the owner answers in bounded time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import orjson

from gateway.extproc.conversation import Push
from gateway.extproc.protocol.exchange import Decide, Exchange, Proceed
from gateway.extproc.protocol.messages import (
    NO_METADATA,
    Direction,
    Event,
    HeadersReceived,
    ImmediateReply,
    Metadata,
    Modes,
    Mutation,
    Reply,
    refuse,
)
from gateway.routing.chain import Chain, Result, Run
from gateway.routing.plugin import Vector
from gateway.routing.request import NO_NAMES, NO_VECTORS, RoutedRequest
from gateway.tenancy import salting
from gateway.tenancy.identity import ANYBODY, Access, caller
from gateway.wire import refusals
from gateway.wire.bodies import refusal_of_structure
from gateway.wire.encodings import decoded
from gateway.wire.errors import Rejection
from gateway.wire.forms import form_fields, is_form, model_watch
from gateway.wire.models import is_json, is_model_name
from gateway.wire.protocol import CONTENT_ENCODING, KEPT_BODY, LB_NAMESPACE

Answer = Callable[[Vector | None], None]
# Keeps a body with its JSON object for a later question about the same request, and gives it an id.
Keep = Callable[[bytes, Mapping[str, object] | None], str]


class Reading(Enum):
    """What a body was found to be; the labels of the metric."""

    FOUND = "found"
    MISSING = "missing"
    NOT_JSON = "not_json"
    REFUSED = "refused"
    DENIED = "denied"  # its caller is not known, or may not use the model


@dataclass(frozen=True, slots=True)
class Lifted:
    """`document` is there on FOUND, and on MISSING where the body is a JSON object; `rejection` on REFUSED."""

    reading: Reading
    model: str = ""
    rejection: Rejection | None = None
    document: Mapping[str, object] | None = None


def lift(headers: Mapping[str, str], body: bytes) -> Lifted:
    """Find the model in a request: in JSON, or in a form."""
    if not body:
        return Lifted(Reading.MISSING)
    plain = decoded(headers, body)
    if isinstance(plain, Rejection):
        return _refused(plain)
    body = plain
    if is_form(content_type := headers.get("content-type", "")):
        return _read_fields(form_fields(content_type, body))
    must_be_json = is_json(content_type)
    if not must_be_json and not body[:64].lstrip().startswith(b"{"):
        return Lifted(Reading.NOT_JSON)
    found = _read(body)
    return found if must_be_json or found.rejection is None else Lifted(Reading.NOT_JSON)


def _read(body: bytes) -> Lifted:
    refusal = refusal_of_structure(body)
    if refusal is not None:
        return _refused(refusal)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _refused(refusals.invalid_json(error))
    if not isinstance(document, dict):
        return _refused(refusals.not_an_object(document))
    return _read_fields(document)


def _read_fields(document: Mapping[str, object]) -> Lifted:
    model = document.get("model")
    if model is None or model == "":
        return Lifted(Reading.MISSING, document=document)
    if not isinstance(model, str):
        return _refused(refusals.model_not_a_string(model))
    if not is_model_name(model):
        return _refused(refusals.not_a_name())
    return Lifted(Reading.FOUND, model, document=document)


def _refused(rejection: Rejection) -> Lifted:
    return Lifted(Reading.REFUSED, rejection=rejection)


def _none_known(text: str, answer: Answer) -> None:  # noqa: ARG001 - there is no embedder
    answer(None)


@dataclass(frozen=True, slots=True)
class Routing:
    """What one request is judged by: the plugins, and what is known at this moment.

    `embed` answers each question exactly once, at once or later on the loop's thread, with None where it cannot.
    """

    chain: Chain
    base_models: Mapping[str, str] = field(default_factory=lambda: NO_NAMES)
    vectors: Mapping[str, Vector] = field(default_factory=lambda: NO_VECTORS)
    embed: Callable[[str, Answer], None] = _none_known
    keep: Keep | None = None
    access: Access = field(default_factory=Access)


class RouterConversation:
    """One request on one stream. Finished with its last reply: whatever happens to the router then cuts no answer."""

    __slots__ = (
        "_caller",
        "_exchange",
        "_headers",
        "_is_open",
        "_observe",
        "_push",
        "_routing",
        "_salt",
        "_to_keep",
        "_to_salt",
    )

    def __init__(
        self, routing: Routing, observe: Callable[[Reading], None], modes: Modes, push: Push = lambda _replies: None
    ) -> None:
        self._routing = routing
        self._observe = observe
        self._push = push
        self._exchange = Exchange(modes, watch_for=model_watch) if routing.chain.reads_model_only else Exchange(modes)
        self._headers: Mapping[str, str] = {}
        self._caller = ANYBODY
        self._to_keep: tuple[bytes, Mapping[str, object] | None] | None = None
        self._salt: str | None = None  # of the caller, for the model that it asks for
        self._to_salt: Mapping[str, object] | None = None  # the object that gets the caller's salt
        self._is_open = True

    @property
    def is_finished(self) -> bool:
        return self._exchange.request_is_over

    @property
    def is_at_rest(self) -> bool:
        return self._exchange.is_at_rest

    @property
    def is_collecting(self) -> bool:
        return self._exchange.is_collecting

    def receive(self, event: Event, now: float) -> Sequence[Reply]:  # noqa: ARG002 - nothing here depends on the time
        replies: list[Reply] = []
        steps = self._exchange.receive(event)
        if isinstance(event, HeadersReceived) and event.direction is Direction.REQUEST and not event.observe_only:
            refused = self._recognise(event.headers)
            if refused is not None:
                self._observe(Reading.DENIED)
                return self._exchange.refused(refused, event.headers)
        for step in steps:
            if not isinstance(step, Decide):
                replies.append(step)
                continue
            decision = self._decide(step)
            replies.extend(self._exchange.wait() if decision is None else self._exchange.decided(decision))
        return replies

    def close(self, now: float, *, is_cut: bool = False) -> None:  # noqa: ARG002 - however it ends
        """Nothing is kept of a request; what is answered later is for nobody."""
        self._is_open = False

    def _recognise(self, headers: Mapping[str, str]) -> Rejection | None:
        """Before the body comes: a caller that is not known sends none."""
        found = caller(headers, self._routing.access, self._routing.base_models)
        if isinstance(found, Rejection):
            return found
        self._caller = found
        return None

    def _decide(self, request: Decide) -> Proceed | ImmediateReply | None:
        """None: the decision comes later."""
        lifted = Lifted(Reading.MISSING) if request.is_partial else lift(request.headers, request.body)
        self._observe(lifted.reading)
        self._headers = request.headers
        if lifted.rejection is not None:
            return refuse(lifted.rejection, request.headers)
        if lifted.model and not self._caller.models.allow(lifted.model, self._routing.base_models):
            self._observe(Reading.DENIED)
            return refuse(refusals.unknown_model(lifted.model), request.headers)
        if request.is_partial and (self._routing.chain.needs_whole_body or self._needs_whole_body):
            return refuse(refusals.not_whole(), request.headers)
        if self._caller.salting is not None:
            self._salt = self._caller.salting.salt(lifted.model, self._routing.base_models)
        if request.body and not (request.is_partial or request.is_begun):
            is_json = lifted.document is not None and not is_form(request.headers.get("content-type", ""))
            self._to_keep = request.body, lifted.document if is_json else None
            self._to_salt = lifted.document if is_json and self._salt is not None else None
        if lifted.document is None:
            return self._decision(Result())
        routing = self._routing
        routed = RoutedRequest(request.headers, request.body, lifted.document, routing.base_models, routing.vectors)
        return self._advance(routing.chain.run(routed), None)

    def _advance(self, run: Run, vector: Vector | None) -> Proceed | ImmediateReply | None:
        """Go on until the plugins are through, or one of them has to wait."""
        try:
            wanted = run.send(vector)
        except StopIteration as ended:
            return self._decision(ended.value)
        answers: list[Vector | None] = []
        is_late = False

        def answer(found: Vector | None) -> None:
            if is_late:
                self._answered(run, found)
            else:
                answers.append(found)

        self._routing.embed(wanted.text, answer)
        if answers:
            return self._advance(run, answers[0])
        is_late = True
        return None

    def _answered(self, run: Run, vector: Vector | None) -> None:
        if not self._is_open:
            run.close()
            return
        decision = self._advance(run, vector)
        if decision is not None:
            self._push(self._exchange.decided(decision))

    def _decision(self, result: Result) -> Proceed | ImmediateReply:
        if result.rejection is not None:
            return refuse(result.rejection, self._headers)
        caller, body = self._caller, result.body
        if body is not None and self._to_keep is not None:
            self._to_keep = body, None  # to be read anew
        salted = self._salted(body)
        if salted is not None:
            self._to_keep = body, _ = salted, None
        headers = (*result.headers, *caller.set_headers)
        written = {name for name, _ in headers}
        removed = [name for name in self._routing.chain.sets if name in self._headers and name not in written]
        removed += caller.removed
        if body is not None and CONTENT_ENCODING in self._headers:
            removed.append(CONTENT_ENCODING)  # what goes on is the body as it was before it was compressed
        mutation = Mutation(headers, tuple(removed), self._kept(), clear_route_cache=True)
        return Proceed(mutation, body=body)

    @property
    def _needs_whole_body(self) -> bool:
        return self._caller.salting is not None or not self._caller.models.is_every

    def _salted(self, changed: bytes | None) -> bytes | None:
        """The body with the caller's salt, where it is one that has it; `changed` is what plugins made of it."""
        salt, document = self._salt, self._to_salt
        if salt is None or document is None or self._to_keep is None:
            return None
        if changed is not None:
            return salting.salted(changed, orjson.loads(changed), salt)
        plain = decoded(self._headers, self._to_keep[0])
        return None if isinstance(plain, Rejection) else salting.salted(plain, document, salt)

    def _kept(self) -> Metadata:
        """The id under which the picker in this process finds the body, where there is one."""
        keep, to_keep = self._routing.keep, self._to_keep
        if keep is None or to_keep is None:
            return NO_METADATA
        return {LB_NAMESPACE: {KEPT_BODY: keep(*to_keep)}}
