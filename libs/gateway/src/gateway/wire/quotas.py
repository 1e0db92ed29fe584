"""What the control plane has Envoy tell of a request for its quotas, and the picker's quota service reads. Constants.

A call has descriptors. The first says which phase it is, and what is known of the request, by attribute. At the end
further descriptors follow, each with a count as its hits; a count that is not known is left away.

Headers may be others by the end of a request: routes and filters change them. So the answer at admission says who was
admitted, which Envoy keeps as dynamic metadata and tells at the end.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.wire import protocol

RATE_LIMIT_SERVICE: Final = "envoy.service.ratelimit.v3.RateLimitService"
# In the initial metadata of its calls, where both programs were given one by the flag.
TOKEN: Final = "x-pointsman-quota-token"  # noqa: S105 - its name
TOKEN_FLAG: Final = "--quota-token-file"  # noqa: S105
DOMAIN: Final = "pointsman"
QUOTAS_LABEL: Final = "pointsman.dev/quotas"  # with the value `true`: a ConfigMap whose data are quotas

PHASE: Final = "phase"
ADMISSION: Final = "admission"
END: Final = "end"  # its hits are the status
FAILURE_MODE: Final = "failure-mode"  # of requests that cannot be counted, at admission
FAILS_CLOSED: Final = "closed"
FAILS_OPEN: Final = "open"

# Attributes that rules may name, and the header in which each stands. A header of the client's choice has its prefix.
ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tenant": protocol.TENANT,
        "client": protocol.CLIENT_ID,
        "model": protocol.MODEL_NAME,
        "objective": protocol.OBJECTIVE,
    }
)
SUBJECT: Final = "subject"  # who was admitted: the attributes as JSON
RESERVED: Final = "reserved"  # beside the attributes: what was reserved for the answer, a list
SUBJECT_NAMESPACE: Final = "envoy.filters.http.ratelimit"  # under which Envoy keeps what its rate limit service says
MODEL: Final = "model"
SERVED_MODEL: Final = "served-model"  # what a backend knows the model as, where that differs
HEADER_PREFIX: Final = "header:"
BACKEND_PREFIX: Final = "backend:"  # with the name of an AIServiceBackend, and the value `true`
TRUE: Final = "true"
# Beside the attributes, for the shape of a refusal.
PATH: Final = ":path"
REQUEST_ID: Final = "x-request-id"

COUNT: Final = "count"
BYTES_RECEIVED: Final = "bytes_received"
BYTES_SENT: Final = "bytes_sent"
ATTEMPTS: Final = "attempts"
STREAMED: Final = "streamed"
# Counts by what Envoy calls them. Those of answers stand in dynamic metadata.
COUNTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        BYTES_RECEIVED: "%BYTES_RECEIVED%",
        BYTES_SENT: "%BYTES_SENT%",
        ATTEMPTS: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        **{
            name: f"%DYNAMIC_METADATA({protocol.USAGE_NAMESPACE}:{name})%"
            for name in (
                STREAMED,
                protocol.PROMPT_TOKENS,
                protocol.COMPLETION_TOKENS,
                protocol.CACHED_TOKENS,
                protocol.CACHE_READ_TOKENS,
                protocol.CACHE_CREATION_TOKENS,
                protocol.REASONING_TOKENS,
            )
        },
    }
)

LIMIT_HEADER: Final = "x-ratelimit-limit-{}".format
REMAINING_HEADER: Final = "x-ratelimit-remaining-{}".format
RESET_HEADER: Final = "x-ratelimit-reset-{}".format
