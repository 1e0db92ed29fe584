"""Bounds of a gRPC server, each with its reason, and what an operator may choose. Pure."""

from dataclasses import dataclass
from typing import Final

from gateway.wire.protocol import BODY_LIMIT_BYTES

KIB: Final = 1024
MIB: Final = 1024 * KIB

# A whole body is one message, with some room for its frame and the headers around it.
MESSAGE_LIMIT_BYTES: Final = BODY_LIMIT_BYTES + MIB
# A larger message may hold so much structure that others notice its reading: 10 ms or more.
LARGE_MESSAGE_BYTES: Final = 512 * KIB

# An open stream means that its request lives, so a proxy whose host vanished must not leave one behind. A silent
# connection is pinged this often, and closed when it stays silent for so long after: half a minute in all, as long as
# three heartbeats of the access log. A proxy of any make answers pings by itself, whatever its load.
KEEPALIVE_SECONDS: Final = 10.0
KEEPALIVE_TIMEOUT_SECONDS: Final = 20.0

# How much a stream may send before any of it is taken. A prompt of 220 KB comes without a wait for the window.
STREAM_WINDOW_BYTES: Final = MIB
# Of the connection, as wide as HTTP/2 knows: what a stream may send is bounded by its own window, and one that is
# shared by all would let some that wait for their turn stop the others.
CONNECTION_WINDOW_BYTES: Final = 2**31 - 1
# What a stream may keep here without a turn of its own. Window updates leave when half of the window is consumed, and
# consumption is passed on in steps, so that a message of this size always fits into what is left:
# FREE_BYTES <= STREAM_WINDOW_BYTES / 2 - RETURN_BYTES.
FREE_BYTES: Final = 384 * KIB
RETURN_BYTES: Final = 128 * KIB
# So many streams at a time may send more than that; the windows of the others stay closed until it is their turn.
# Together they keep at most 130 MiB, and two let one arrive while the other is read.
LARGE_STREAMS: Final = 2
# All unfinished messages of a process, large ones included: a prompt of 220 KB on each of a thousand streams.
UNFINISHED_LIMIT_BYTES: Final = 256 * MIB

# Each request in flight at a model server is a stream; a proxy with more opens a further connection.
CONCURRENT_STREAMS: Final = 16_384
# Of a server: hundreds of proxies with a connection for each of their workers.
CONNECTIONS: Final = 4_096
# Answers that the peer's windows hold back. Above this on a stream, or on a connection, the peer may send no more;
# above the last a connection is ended, since one answer of the largest size is all that it can owe a peer that reads.
STREAM_OUTPUT_BYTES: Final = MIB
CONNECTION_OUTPUT_BYTES: Final = 4 * MIB
CONNECTION_OUTPUT_LIMIT_BYTES: Final = MESSAGE_LIMIT_BYTES + 32 * MIB
# Messages that one connection has handled in one round of the loop: about two milliseconds of picks.
MESSAGES_PER_ROUND: Final = 16
# Frames that bring no work: pings, settings, empty data, streams that end before their first message. A proxy sends a
# ping a second and ends few streams so early; a burst covers clients that all leave at once.
IDLE_FRAMES_BURST: Final = 4_000
IDLE_FRAMES_PER_SECOND: Final = 400.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator, or a test, may choose. Sizes in bytes."""

    receive_limit: int = MESSAGE_LIMIT_BYTES
    send_limit: int = MESSAGE_LIMIT_BYTES
    keepalive_seconds: float = KEEPALIVE_SECONDS
    keepalive_timeout_seconds: float = KEEPALIVE_TIMEOUT_SECONDS
    connection_window: int = CONNECTION_WINDOW_BYTES


class Allowance:
    """A bucket of tokens: `burst` of them, and `per_second` more each second up to that."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token, if one is left."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        self._left -= 1
        return self._left >= 0
