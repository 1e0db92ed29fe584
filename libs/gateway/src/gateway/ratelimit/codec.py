"""Protobuf to descriptors, and decisions to protobuf: the only module of this protocol that knows protobuf. No sockets.

Keys and values are read as bytes: a header that is no UTF-8 must not make a call unreadable, which may let it pass.
"""

from google.protobuf.message import DecodeError

from gateway import protos
from gateway.ratelimit.messages import Decision, Descriptor
from gateway.wire.quotas import SUBJECT


class UnreadableError(ValueError):
    """The message is none of this protocol."""


class Codec:
    """Holds the generated classes."""

    def __init__(self) -> None:
        pool = protos.load_pool()
        self._request = protos.message_class(pool, "envoy.service.ratelimit.v3.RateLimitRequest")
        self._response = protos.message_class(pool, "envoy.service.ratelimit.v3.RateLimitResponse")

    def decode(self, data: bytes) -> tuple[Descriptor, ...]:
        """The descriptors of a call.

        Raises UnreadableError.
        """
        try:
            message = self._request.FromString(data)
        except DecodeError as error:
            raise UnreadableError(str(error)) from None
        return tuple(
            Descriptor(
                {entry.key.decode(errors="replace"): entry.value.decode(errors="replace") for entry in each.entries},
                each.hits_addend.value if each.HasField("hits_addend") else None,
            )
            for each in message.descriptors
        )

    def encode(self, decision: Decision) -> bytes:
        """The answer to a call."""
        response = self._response(overall_code=2 if decision.is_over_limit else 1, raw_body=decision.body)
        add = response.response_headers_to_add.add
        for key, value in decision.headers:
            add(key=key, value=value)
        if decision.subject:
            response.dynamic_metadata.fields[SUBJECT].string_value = decision.subject
        serialised: bytes = response.SerializeToString()
        return serialised
