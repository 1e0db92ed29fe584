"""The heads and trailers of gRPC over HTTP/2. Pure: names and values are bytes, as the engine takes and gives them."""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from gateway.rpc.calls import Status

Header = tuple[bytes, bytes]

CONTENT_TYPE: Final = b"application/grpc"
# The only encoding that is read: a proxy on the same host gains nothing by compression.
HEAD: Final[tuple[Header, ...]] = (
    (b":status", b"200"),
    (b"content-type", CONTENT_TYPE),
    (b"grpc-accept-encoding", b"identity"),
)
UNSUPPORTED_MEDIA_TYPE: Final[tuple[Header, ...]] = ((b":status", b"415"),)
METHOD_NOT_ALLOWED: Final[tuple[Header, ...]] = ((b":status", b"405"), (b"allow", b"POST"))
OK: Final[tuple[Header, ...]] = ((b"grpc-status", b"0"),)
# Printable ASCII but for the percent sign stands for itself in `grpc-message`.
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if code != 0x25)
MESSAGE_LIMIT: Final = 1024  # characters: a text quotes what a client sent, and some clients refuse long trailers
_SECONDS: Final[Mapping[bytes, float]] = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT_DIGITS: Final = 8


class Metadata(Mapping[str, str]):
    """The fields of a call's head, decoded only when they are asked for. Repeated ones are joined with a comma."""

    __slots__ = ("_headers",)

    def __init__(self, headers: tuple[Header, ...]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        wanted = name.encode()
        values = [value for each, value in self._headers if each == wanted]
        if not values:
            raise KeyError(name)
        return b",".join(values).decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.decode("latin-1") for name, _ in self._headers))

    def __len__(self) -> int:
        return len({name for name, _ in self._headers})


def is_grpc(content_type: bytes) -> bool:
    """`application/grpc`, or with a suffix such as `+proto`."""
    if not content_type.startswith(CONTENT_TYPE):
        return False
    return content_type[len(CONTENT_TYPE) : len(CONTENT_TYPE) + 1] in (b"", b"+", b";")


def timeout(value: bytes) -> float | None:
    """Seconds of a `grpc-timeout`; None for one that cannot be read."""
    digits, unit = value[:-1], value[-1:]
    if unit not in _SECONDS or not digits.isdigit() or len(digits) > _TIMEOUT_DIGITS:
        return None
    return int(digits) * _SECONDS[unit]


def trailers(status: Status, text: str = "") -> tuple[Header, ...]:
    """How a call went."""
    if status is Status.OK:
        return OK
    code = (b"grpc-status", b"%d" % status)
    return (code, (b"grpc-message", quote(text[:MESSAGE_LIMIT], safe=_PLAIN).encode())) if text else (code,)
