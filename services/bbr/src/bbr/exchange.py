"""The body-based router's conversation: the `model` of a JSON body becomes headers that a route can match on. Pure.

    model is a string        x-gateway-model-name and its other name x-gateway-inference-model, and
                             x-gateway-base-model-name when the base is known
    no model, no JSON body   the request goes on without them
    malformed JSON, JSON that is no object, a model that is no string or no name: 400, but only for JSON content types
    more structure than any prompt has: 413, likewise

The reference sets the base header to an empty string for an unknown model; here it stays away, so that a route can
match its absence and an unknown model falls through to "model not found". A client's own values are removed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import orjson

from gateway.extproc.protocol.exchange import Decide, Exchange, Proceed
from gateway.extproc.protocol.messages import Event, ImmediateReply, Modes, Mutation, Reply, refuse
from gateway.wire import refusals
from gateway.wire.bodies import refusal_of_structure
from gateway.wire.errors import Rejection
from gateway.wire.models import is_json, is_model_name
from gateway.wire.protocol import BASE_MODEL_NAME, INFERENCE_MODEL, MODEL_NAME

_NAMES = (MODEL_NAME, INFERENCE_MODEL, BASE_MODEL_NAME)


class Reading(Enum):
    """What a body was found to be; the labels of the metric."""

    FOUND = "found"
    MISSING = "missing"
    NOT_JSON = "not_json"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Lifted:
    """`model` is set on FOUND, `rejection` on REFUSED."""

    reading: Reading
    model: str = ""
    rejection: Rejection | None = None


def lift(headers: Mapping[str, str], body: bytes) -> Lifted:
    """Find the model in a request."""
    if not body:
        return Lifted(Reading.MISSING)
    must_be_json = is_json(headers.get("content-type", ""))
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
    model = document.get("model")
    if model is None or model == "":
        return Lifted(Reading.MISSING)
    if not isinstance(model, str):
        return _refused(refusals.model_not_a_string(model))
    return Lifted(Reading.FOUND, model) if is_model_name(model) else _refused(refusals.not_a_name())


def _refused(rejection: Rejection) -> Lifted:
    return Lifted(Reading.REFUSED, rejection=rejection)


class RouterConversation:
    """One request on one stream. Finished with its last reply: whatever happens to the router then cuts no answer."""

    __slots__ = ("_base_of", "_exchange", "_observe")

    def __init__(self, base_of: Mapping[str, str], observe: Callable[[Reading], None], modes: Modes) -> None:
        self._base_of = base_of
        self._observe = observe
        self._exchange = Exchange(modes)

    @property
    def is_finished(self) -> bool:
        return self._exchange.request_is_over

    @property
    def is_at_rest(self) -> bool:
        return self._exchange.is_at_rest

    def receive(self, event: Event, now: float) -> Sequence[Reply]:  # noqa: ARG002 - nothing here depends on the time
        replies: list[Reply] = []
        for step in self._exchange.receive(event):
            replies.extend(self._exchange.decided(self._decide(step)) if isinstance(step, Decide) else [step])
        return replies

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """Nothing is kept of a request."""

    def _decide(self, request: Decide) -> Proceed | ImmediateReply:
        lifted = Lifted(Reading.MISSING) if request.is_partial else lift(request.headers, request.body)
        self._observe(lifted.reading)
        if lifted.rejection is not None:
            return refuse(lifted.rejection)
        return Proceed(_mutation(lifted, self._base_of.get(lifted.model), request.headers))


def _mutation(lifted: Lifted, base: str | None, headers: Mapping[str, str]) -> Mutation:
    model = lifted.model
    found = ((MODEL_NAME, model), (INFERENCE_MODEL, model), (BASE_MODEL_NAME, base)) if model else ()
    set_headers = tuple((name, value) for name, value in found if value is not None)
    written = {name for name, _ in set_headers}
    removed = tuple(name for name in _NAMES if name in headers and name not in written)
    return Mutation(set_headers, removed, clear_route_cache=True)
