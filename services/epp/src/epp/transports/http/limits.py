"""What one connection of the HTTP transport may cost. Pure."""

from dataclasses import dataclass

from gateway.wire.protocol import BODY_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """Envoy stays far inside; the limits are for other peers that find the port."""

    head_bytes: int = 64 * 1024  # Envoy's own default for request headers is 60 KiB
    body_bytes: int = BODY_LIMIT_BYTES
    held_bytes: int = 1024 * 1024  # behind a request that waits for its verdict: Envoy sends nothing then
    request_seconds: float = 10.0  # from a request's first byte to its last: over loopback, 64 MiB take tenths
    idle_seconds: float = 7200.0  # Envoy drops idle connections after an hour; closing first risks a request
    linger_seconds: float = 2.0  # after a last answer, so that unread bytes do not make a reset that eats it
    connections: int = 8192  # one per request in flight, so far more than a picker answers in its time
