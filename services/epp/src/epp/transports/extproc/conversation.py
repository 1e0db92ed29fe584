"""One request on one ext_proc stream: the picker decides about it, at once or later. Pure.

The end of the stream settles the pick, or cancels a request that still waits, whatever ended it. Only where no access
log comes do the response phases become feedback, since both report the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from epp.domain import Outcome, Pick, Request, Ticket, Verdict
from epp.transports.extproc.answers import of_verdict, subset_hint, unpicked
from epp.transports.extproc.response import SERVED_REPORT, UNREPORTED, ResponseWatch
from epp.transports.extproc.rewriting import AnswerRewriting, ModelNames, with_usage_option
from epp.transports.extproc.streams import OpenStreams
from epp.transports.picker import RequestPicker
from epp.transports.route import Route, is_left_to_others
from gateway.extproc.conversation import Push
from gateway.extproc.protocol.exchange import PROTOCOL_MODES, Decide, Exchange, Proceed
from gateway.extproc.protocol.messages import (
    BodyReceived,
    Direction,
    Event,
    HeadersReceived,
    Modes,
    Reply,
    TrailersReceived,
    refuse,
)
from gateway.wire.encodings import decoded
from gateway.wire.errors import Rejection
from gateway.wire.forms import model_watch
from gateway.wire.protocol import CONTENT_ENCODING

# The path before a route rewrote its prefix, as the reference reads it: the API is known by it.
ORIGINAL_PATH: Final = "x-original-path"


class PickConversation:
    """A `Conversation` for the server and a `Waiter` for the picker; `streams` holds the picks of open streams."""

    __slots__ = (
        "_body",
        "_exchange",
        "_headers",
        "_is_written",
        "_pick",
        "_picked_at",
        "_picker",
        "_push",
        "_rewriting",
        "_route",
        "_streams",
        "_ticket",
        "_watch",
    )

    def __init__(
        self, route: Route, picker: RequestPicker, streams: OpenStreams, push: Push, modes: Modes = PROTOCOL_MODES
    ) -> None:
        self._route = route
        self._picker = picker
        self._exchange = Exchange(modes, watch_for=model_watch)
        self._streams = streams
        self._push = push
        self._headers: Mapping[str, str] = {}
        self._body = b""  # until the verdict, where the answer's usage is to be asked for
        self._rewriting: AnswerRewriting | None = None
        self._ticket: Ticket | None = None  # while the request waits
        self._pick: Pick | None = None
        self._is_written = False  # the proxy knows of the pick: a message came after it
        self._picked_at = 0.0
        self._watch: ResponseWatch | None = None

    @property
    def is_finished(self) -> bool:
        """Only after an immediate reply: otherwise the stream's end is the signal that is waited for."""
        return self._exchange.is_closed

    @property
    def is_at_rest(self) -> bool:
        return self._exchange.is_at_rest

    @property
    def is_collecting(self) -> bool:
        return self._exchange.is_collecting

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        """Take the proxy's next message."""
        self._is_written = self._pick is not None
        if event.direction is Direction.RESPONSE and self._pick is not None:
            self._observe_response(self._pick, event, now)
        replies: list[Reply] = []
        for part in [event] if self._rewriting is None else self._rewritten(self._rewriting, event):
            for step in self._exchange.receive(part):
                replies.extend(self._submit(step, now) if isinstance(step, Decide) else [step])
        return replies

    def decide(self, verdict: Verdict, now: float) -> None:
        """Take the verdict on the request that waits."""
        self._ticket = None
        self._push(self._decided(verdict, now))

    def end(self, rejection: Rejection, now: float) -> None:
        """Cut the answer: the client gets the rejection, or, where its answer has begun, a broken stream."""
        del now
        self._push(self._exchange.cut(refuse(rejection, self._headers)))

    def close(self, now: float, *, is_cut: bool = False) -> None:
        """Release the pick; the response phases give feedback where no access log comes."""
        if self._ticket is not None:
            self._picker.cancel(self._ticket, now)
        if self._pick is None:
            return
        self._streams.closed(self._pick.id)
        is_unused = is_cut and not self._is_written
        self._picker.settle(self._pick.id, Outcome.UNUSED if is_unused else Outcome.ENDED, now)
        if self._watch is not None and not self._streams.is_logged():
            self._streams.observed(self._watch.feedback(self._pick, self._picked_at, now), now)

    def _observe_response(self, pick: Pick, event: Event, now: float) -> None:
        """Where the answer is kept is known as soon as its id passes: the next request may name it at once."""
        watch = self._watch = self._watch or ResponseWatch()
        had_id = watch.has_stored_id
        watch.receive(event, now)
        if isinstance(event, HeadersReceived):
            if not self._needs_answer(pick):
                self._exchange.skip_response_body()
            if self._route.reports_served:
                self._exchange.add_to_answer((SERVED_REPORT, watch.served or UNREPORTED))
        if watch.has_stored_id and not had_id:
            self._streams.begun(watch.feedback(pick, self._picked_at, now, is_final=False), now)

    def _needs_answer(self, pick: Pick) -> bool:
        """Whether anything reads or changes its body: for accounts, where no access log has them, or for names."""
        return self._rewriting is not None or (pick.model is not None and not self._streams.is_logged())

    def _rewritten(self, rewriting: AnswerRewriting, event: Event) -> Sequence[Event]:
        """An event of the answer as it goes on; in front of trailers, what was held back."""
        match event:
            case HeadersReceived(direction=Direction.RESPONSE, headers=headers):
                if not rewriting.begin(headers.get("content-type", ""), headers.get(CONTENT_ENCODING, "")):
                    self._rewriting = None
                return [event]
            case BodyReceived(direction=Direction.RESPONSE, data=data, end_of_stream=is_last):
                changed = rewriting.receive(data, is_last=is_last)
                return [BodyReceived(Direction.RESPONSE, changed, is_last)]
            case TrailersReceived(direction=Direction.RESPONSE):
                rest = rewriting.receive(b"", is_last=True)
                return [BodyReceived(Direction.RESPONSE, rest, end_of_stream=False), event] if rest else [event]
        return [event]

    def _submit(self, step: Decide, now: float) -> Sequence[Reply]:
        self._headers = headers = step.headers
        body = b"" if step.is_partial else decoded(headers, step.body)
        if isinstance(body, Rejection):
            return self._decided(body, now)
        request = Request(
            self._route.pool,
            headers.get(":method", ""),
            headers.get(ORIGINAL_PATH) or headers.get(":path", ""),
            headers,
            body=body,
            subset=subset_hint(step.metadata) if self._route.honours_subset else None,
            fallbacks=self._route.fallbacks,
            first_token=self._route.first_token,
            longest_wait=float(self._route.longest_wait) or None,
            is_begun=step.is_begun,
            lower_tiers=self._route.lower_tiers,
        )
        needs_usage = self._exchange.passes_response and not self._streams.is_logged()
        self._body = body if needs_usage else b""
        match self._picker.submit(request, self, now):
            case Ticket() as ticket:
                self._ticket = ticket
                return self._exchange.wait(self._route.longest_wait)
            case verdict:
                return self._decided(verdict, now)

    def _decided(self, verdict: Verdict, now: float) -> Sequence[Reply]:
        match verdict:
            case Pick() as pick:
                self._pick, self._picked_at = pick, now
                self._streams.opened(pick.id, self)
                verdict = self._with_answer_rewritten(pick)
        if is_left_to_others(verdict, self._route.lower_tiers):
            return self._exchange.decided(unpicked(self._headers))
        decision = of_verdict(verdict, self._headers)
        if self._rewriting is not None and isinstance(decision, Proceed):  # its length will be another
            response = replace(decision.response, remove_headers=("content-length",))
            decision = replace(decision, response=response)
        return self._exchange.decided(decision)

    def _with_answer_rewritten(self, pick: Pick) -> Pick:
        """The pick with what its answer needs: usage for the accounts, and the client's name of the model again."""
        if not self._exchange.passes_response:
            return pick
        body, self._body = self._body, b""
        changed = with_usage_option(self._headers.get(":path", ""), pick.body or body) if body and pick.model else None
        models = None
        if pick.served_model is not None and pick.model is not None:
            models = ModelNames(pick.served_model, pick.model)
        if models is not None or changed is not None:
            self._rewriting = AnswerRewriting(models, hides_usage=changed is not None)
        return pick if changed is None else pick._replace(body=changed)
