"""The signs that speak for or against a server. Pure values."""

from enum import StrEnum
from typing import Final


class Signal(StrEnum):
    """One observation of one endpoint; the value is the reason that people read."""

    ANSWERED = "answers requests"
    UNREACHABLE = "requests cannot connect"
    BROKEN = "requests fail"
    CUT = "answers break off"
    SILENT = "requests get no first byte"
    SLOW = "answers come far slower than elsewhere"
    PASSED_OVER = "the proxy moves on to another endpoint"
    OVERLOADED = "refuses requests for load"
    SCRAPED = "metrics can be read"
    UNSCRAPABLE = "metrics port refuses connections"
    MUTE = "metrics are not answered"
    NOT_READY = "reports that it is not ready"
    FROZEN = "computes nothing while it holds requests"
    COMPUTES = "computes again"
    RETRIED = "is tried again"


# Requests that went wrong. Each may have another cause than the server, so they are compared with the other servers'.
FAILURES: Final = frozenset((Signal.BROKEN, Signal.CUT, Signal.SILENT, Signal.SLOW, Signal.PASSED_OVER))
REQUEST_FAILURES: Final = FAILURES | {Signal.UNREACHABLE}
# What one attempt of a request met at a server; metrics count them by these names.
ATTEMPT_FAILURES: Final = REQUEST_FAILURES | {Signal.OVERLOADED}
# The server cannot serve, whatever the others do.
OUTAGES: Final = frozenset((Signal.UNSCRAPABLE, Signal.MUTE, Signal.NOT_READY, Signal.FROZEN))
# An engine that was frozen may be tried again.
OUTAGE_ENDS: Final = frozenset((Signal.COMPUTES, Signal.RETRIED))
# So many of these in a row make an outage. A busy server may be slow to answer for its metrics; one that is silent for
# some five scrapes and answers no request either hangs. A refused port is refused for requests, too.
IN_A_ROW: Final = {Signal.UNSCRAPABLE: 2, Signal.MUTE: 5, Signal.NOT_READY: 2, Signal.FROZEN: 1}
