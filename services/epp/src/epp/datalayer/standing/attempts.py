"""What the report of a request says about each endpoint that was tried. Pure.

The proxy reports each attempt that failed by itself, as it fails, and the last one with the end of the request. Where
the first kind of report is missing, the earlier attempts are those before the last in the picked list; why the proxy
left them is not known then, so they count as one kind of failure, compared with the others'.

An answer of the model server is told from one of the proxy by its flags: an engine's own 503 is load, the proxy's is a
connection that failed.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from epp.datalayer.placement import Placement
from epp.datalayer.report import BREAKS, UNREACHED, Report, cause_of
from epp.datalayer.standing.signals import Signal
from epp.domain import EndpointId, Feedback
from gateway.wire.protocol import LACKS_END

_KNOWN: Final = "attempts"  # in a placement's notes
_NO_HTTP: Final = "upstream_protocol_error"
_UNANSWERED: Final = "upstream_request_timeout"
_IDLE: Final = "stream_idle_timeout"
# The proxy gave up, and passes on what the model server answered last.
_PASSED_ON: Final = "upstream_retry_limit_exceeded"
_OVERLOADED: Final = (429, 503)
# Statuses from 500 on that say that the client asks for what the server does not do.
_UNSUPPORTED: Final = (501, 505)
# Statuses of gateways that reached no endpoint, where nothing names one.
_NOT_SERVED: Final = (502, 503, 504)


class Sign(NamedTuple):
    """One sign of one endpoint; `detail` is for people. A request that it is about was sent at `sent_at`."""

    endpoint: EndpointId
    signal: Signal
    detail: str = ""
    sent_at: float | None = None


def signs_of(report: Report, first_byte_limit: float) -> Iterator[Sign]:
    """One sign for each attempt that says anything, in their order; the limit is in seconds."""
    sent_at, served = report.placement.placed_at, report.feedback.served
    if report.is_plain and served is not None:  # nearly all of them
        yield Sign(served, Signal.ANSWERED, "", sent_at)
        return
    tried, known = report.tried, known_attempts(report.placement)
    for number, endpoint in enumerate(tried[:-1], start=1):
        if number not in known:
            yield Sign(endpoint, Signal.PASSED_OVER, "", sent_at)
    signal = _last(report, first_byte_limit)
    if signal is not Signal.ANSWERED and report.feedback.attempts in known:
        return
    if signal is not None and tried:
        is_good = signal is Signal.ANSWERED
        yield Sign(tried[-1], signal, "" if is_good else report.cause, sent_at)


def sign_of_attempt(placement: Placement, feedback: Feedback) -> Sign | None:
    """What one failed attempt says about its endpoint. Each counts once: the report of the request passes it over, and
    so does what another replica passes on of a log that came here as well."""
    signal = _of_attempt(feedback)
    if signal is None or feedback.served is None or feedback.failed_attempt is None:
        return None
    known = placement.notes.setdefault(_KNOWN, set())
    assert isinstance(known, set)
    if feedback.failed_attempt in known:
        return None
    known.add(feedback.failed_attempt)
    return Sign(feedback.served, signal, cause_of(feedback), placement.placed_at)


def known_attempts(placement: Placement) -> AbstractSet[object]:
    """The numbers of the attempts whose failure was reported by itself."""
    found = placement.notes.get(_KNOWN, frozenset())
    assert isinstance(found, AbstractSet)
    return found


def _of_attempt(feedback: Feedback) -> Signal | None:
    flags, status = set(feedback.flags), feedback.status
    if flags & UNREACHED:
        return Signal.UNREACHABLE
    if flags & BREAKS:
        return Signal.BROKEN if status is None else Signal.CUT
    if _NO_HTTP in flags:
        return Signal.BROKEN
    if flags & {_UNANSWERED, _IDLE}:
        return Signal.SILENT
    return None if flags or status is None else _failure(status)


def _last(report: Report, first_byte_limit: float) -> Signal | None:
    feedback, flags = report.feedback, set(report.feedback.flags)
    has_begun = report.has_begun
    if flags & UNREACHED:
        return Signal.UNREACHABLE
    if flags & BREAKS or LACKS_END in flags:
        return Signal.CUT if has_begun else Signal.BROKEN
    if _NO_HTTP in flags:
        return Signal.BROKEN
    if flags & {_UNANSWERED, _IDLE}:
        if has_begun:
            return Signal.CUT if _IDLE in flags else Signal.ANSWERED
        return Signal.SILENT
    if has_begun and (flags - {_PASSED_ON}):
        return Signal.ANSWERED
    if report.client_left:
        return Signal.SILENT if (feedback.duration_seconds or 0.0) > first_byte_limit else None
    return None if flags - {_PASSED_ON} else _by_status(report)


def _by_status(report: Report) -> Signal | None:
    status = report.feedback.status
    if status is None:
        return Signal.ANSWERED if report.has_begun else None
    if report.feedback.served is None:
        return Signal.BROKEN if status in _NOT_SERVED else None
    return _failure(status) or Signal.ANSWERED


def _failure(status: int) -> Signal | None:
    """What a status of the model server's own says against it."""
    if status in _OVERLOADED:
        return Signal.OVERLOADED
    return Signal.BROKEN if status >= 500 and status not in _UNSUPPORTED else None
