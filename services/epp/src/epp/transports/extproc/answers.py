"""Verdicts as the Endpoint Picker Protocol carries them over ext_proc. Pure.

The destination goes into a header and, with the same value, into dynamic metadata; the pick id stands beside it in the
metadata and comes back in the access log.
"""

from collections.abc import Mapping

from epp.domain import Pick, Reply, Verdict
from gateway.extproc.protocol.exchange import Proceed
from gateway.extproc.protocol.messages import NO_MUTATION, ImmediateReply, Metadata, Mutation, refuse
from gateway.wire.errors import Rejection
from gateway.wire.protocol import (
    BASE_MODEL_NAME,
    CLIENT_CONTROL_HEADERS,
    CONTENT_ENCODING,
    CONTROL_HEADER_PREFIX,
    DESTINATION_ENDPOINT,
    DESTINATION_SUBSET,
    INFERENCE_MODEL,
    LB_NAMESPACE,
    LEFT_TO_OTHERS,
    MODEL_NAME,
    PICK_ID,
    SIDECAR_HEADERS,
    SUBSET_NAMESPACE,
)

JSON_HEADERS = (("content-type", "application/json"),)
# Control headers that may go on to the model server: those of clients, and those of the body-based router.
_HARMLESS = frozenset((*CLIENT_CONTROL_HEADERS, MODEL_NAME, INFERENCE_MODEL, BASE_MODEL_NAME))


def of_verdict(verdict: Verdict, headers: Mapping[str, str]) -> Proceed | ImmediateReply:
    """What the proxy does about a request with these headers."""
    match verdict:
        case Pick() as pick:
            return proceed(pick, headers)
        case Reply(body):
            return ImmediateReply(200, JSON_HEADERS, body)
        case Rejection() as rejection:
            return refuse(rejection, headers)


def proceed(pick: Pick, headers: Mapping[str, str]) -> Proceed:
    """The answer of the Endpoint Picker Protocol."""
    destination = pick.destination
    written = ((DESTINATION_ENDPOINT, destination), *pick.headers)
    ours = {name for name, _ in written}
    removed = tuple(name for name in headers if _is_control(name) and name not in ours)
    if pick.body is not None and CONTENT_ENCODING in headers:
        removed += (CONTENT_ENCODING,)  # the new body is not compressed
    mutation = Mutation(
        set_headers=written,
        remove_headers=removed,
        metadata={LB_NAMESPACE: {DESTINATION_ENDPOINT: destination, PICK_ID: pick.id}},
    )
    return Proceed(mutation, pick.body, Mutation(pick.explain) if pick.explain else NO_MUTATION)


def unpicked(headers: Mapping[str, str]) -> Proceed:
    """The request goes on without an endpoint: another backend of the route serves it. The mark tells this from a
    picker that did not answer."""
    removed = tuple(name for name in headers if _is_control(name))
    return Proceed(Mutation(remove_headers=removed, metadata={LB_NAMESPACE: {LEFT_TO_OTHERS: "true"}}))


def subset_hint(metadata: Metadata) -> tuple[str, ...] | None:
    """The endpoints that the proxy allows: a list, or a comma-separated string. None where the key is absent."""
    values = metadata.get(SUBSET_NAMESPACE)
    if values is None or DESTINATION_SUBSET not in values:
        return None
    match values[DESTINATION_SUBSET]:
        case str() as text:
            return tuple(item.strip() for item in text.split(",") if item.strip())
        case tuple() as items:
            return tuple(item.strip() for item in items if isinstance(item, str) and item.strip())
    return ()


def _is_control(name: str) -> bool:
    """Whether no client may send this to a model server, or to the proxy beside it."""
    return (name.startswith(CONTROL_HEADER_PREFIX) and name not in _HARMLESS) or name in SIDECAR_HEADERS
