"""The router's guard in front of the picker: for pools that no body-based router stands before. Pure.

It judges each request of either transport before anything is decided about it. The body is parsed for it once more, so
it costs only who asks for it. What is no JSON object or form is left to the picker, which refuses it in its own words.
"""

from collections.abc import Mapping
from typing import Protocol

import orjson

from epp.domain import Outcome, PickId, Request, Ticket, Verdict, Waiter
from gateway.routing import plugin
from gateway.routing.request import RoutedRequest
from gateway.wire.bodies import refusal_of_structure
from gateway.wire.errors import Rejection
from gateway.wire.forms import form_fields, is_form


class RequestPicker(Protocol):
    """The part of the picker that transports use."""

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """Decide, or let the request wait."""

    def cancel(self, ticket: Ticket, now: float) -> None:
        """Forget a request that waits."""

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        """A pick is over."""


class Judge(Protocol):
    """The guard."""

    def act(self, request: RoutedRequest) -> plugin.Outcome:
        """A refusal, or nothing."""


class Counts(Protocol):
    """What an operator counts."""

    def guarded(self, reason: str, action: str) -> None:
        """The guard found something, and refused, let pass or failed."""


class GuardedPicker:
    """The picker as every transport sees it."""

    __slots__ = ("_counts", "_guard", "_picker", "cancel", "settle")

    def __init__(self, picker: RequestPicker, guard: Judge, counts: Counts) -> None:
        self._picker = picker
        self._guard = guard
        self._counts = counts
        self.cancel = picker.cancel
        self.settle = picker.settle

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        """Refuse, or let the picker decide."""
        return self._refusal(request) or self._picker.submit(request, waiter, now)

    def _refusal(self, request: Request) -> Rejection | None:
        document = _document(request)
        if document is None:
            return None
        found = self._guard.act(RoutedRequest(request.headers, request.body, document))
        for note in found.notes:
            reason, action = note.labels
            self._counts.guarded(reason, action)
        return found.rejection


def _document(request: Request) -> Mapping[str, object] | None:
    body, content_type = request.body, request.headers.get("content-type", "")
    if not body:
        return None
    if is_form(content_type):
        return form_fields(content_type, body)
    if refusal_of_structure(body) is not None:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
