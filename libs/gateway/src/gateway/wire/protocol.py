"""Names that two programs must agree on: headers, metadata keys, access-log tags and health services.

Sources: Endpoint Picker Protocol (proposal 004 of the Gateway API Inference Extension) for the destination keys and
namespaces; the body-based router of the same project for the model headers. Constants only. Lua scripts repeat some of
these names; a test holds them to this module. Default ports are in `ports`, refusals in `refusals`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Endpoint Picker Protocol.
DESTINATION_ENDPOINT: Final = "x-gateway-destination-endpoint"
DESTINATION_SUBSET: Final = "x-gateway-destination-endpoint-subset"
DESTINATION_SERVED: Final = "x-gateway-destination-endpoint-served"
LB_NAMESPACE: Final = "envoy.lb"
SUBSET_NAMESPACE: Final = "envoy.lb.subset_hint"

# Body-based router.
MODEL_NAME: Final = "x-gateway-model-name"
BASE_MODEL_NAME: Final = "x-gateway-base-model-name"
INFERENCE_MODEL: Final = "x-gateway-inference-model"  # as a published article calls it; set beside MODEL_NAME
# Other names under which published routes match the model.
MODEL_NAME_ALIASES: Final = (INFERENCE_MODEL, "x-ai-eg-model")
BBR_MANAGED_LABEL: Final = "inference.networking.k8s.io/bbr-managed"

# Why a request was refused for load, in the answer, in upstream's words.
DROPPED_REASON: Final = "x-llm-d-request-dropped-reason"
# Within how many milliseconds a client wants the first token; both upstreams' names, the later one first.
TTFT_OBJECTIVES: Final = ("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms")

# The only `x-gateway-*` headers that a client may send; every other one is stripped before any filter runs.
OBJECTIVE: Final = "x-gateway-inference-objective"
FAIRNESS_ID: Final = "x-gateway-inference-fairness-id"
MODEL_NAME_REWRITE: Final = "x-gateway-model-name-rewrite"
CLIENT_CONTROL_HEADERS: Final = (OBJECTIVE, FAIRNESS_ID, MODEL_NAME_REWRITE)
CONTROL_HEADER_PREFIX: Final = "x-gateway-"
# llm-d's names for them. As there, they win where a request has both.
CLIENT_HEADER_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "x-llm-d-inference-objective": OBJECTIVE,
        "x-llm-d-inference-fairness-id": FAIRNESS_ID,
        "x-llm-d-model-name-rewrite": MODEL_NAME_REWRITE,
    }
)

# Who asks, after authentication: the name of a key, a user or a token's subject, and the tenant that it belongs to.
# Both are written within the gateway, never by a client. Without them nobody is known, or no tenant has the client.
CLIENT_ID: Final = "x-gateway-client-id"
TENANT: Final = "x-gateway-tenant"
# Which models the tenant may use, where not all: a comma list of names in percent-encoding; one that ends in `*` stands
# for all that begin so. For the list of models; a request for another model gets no further than the router.
ALLOWED_MODELS: Final = "x-gateway-allowed-models"
# The tenant's requests are at most as important as this; a whole number, as in an InferenceObjective.
PRIORITY_CEILING: Final = "x-gateway-priority-ceiling"
# With this value the tenant's requests go to no external provider that would take over from a pool.
OVERFLOW: Final = "x-gateway-overflow"
NO_OVERFLOW: Final = "forbidden"
TENANTS_LABEL: Final = "pointsman.dev/tenants"  # of the ConfigMap that maps clients to tenants

# The pool of a route: gRPC initial metadata of the ext_proc stream, a request header of the HTTP transport.
# The value is `namespace/name`; on the gateway's own routes, for models and its health, it is a comma list of them.
POOL_METADATA: Final = "x-gateway-inference-pool"

# Asks whether the gateway can place a request.
GATEWAY_HEALTH_PATH: Final = "/health"

# How many further endpoints the route would walk on retries, beside the pool's name and in the same places. The list is
# longer than the picker plugin's own only on request: a gateway that takes a single endpoint would choke on a list.
FALLBACKS_METADATA: Final = "x-gateway-fallback-endpoints"

# How often the proxy may move on to another endpoint, in the picker's answer. Absent: as the route's policy says.
RETRIES: Final = "x-gateway-retries"

# Within how many milliseconds of being sent a streamed answer must have begun, from the route in the same places. The
# picker answers with a header that Envoy takes for the time of an attempt, and a mark: an answer to such a request is
# held back until its first bytes came, by a stream of ext_proc with this key in its initial metadata.
TTFT_LIMIT: Final = "x-gateway-first-token"
TTFT_HELD: Final = "held"
ATTEMPT_TIMEOUT: Final = "x-envoy-upstream-rq-per-try-timeout-ms"

# How many tiers of other backends the route has for requests that the pool cannot serve; in the same places. With one,
# a request for which no endpoint is ready or free goes on without a pick instead of being refused.
LOWER_TIERS_METADATA: Final = "x-gateway-lower-tiers"

# How many seconds the proxy lets a picker extend its message timeout once (`max_message_timeout`), in the initial
# metadata; a request header of the HTTP transport, where the proxy waits so long from the start. A picker asks for more
# time only where the route announces this: other proxies may not know such a reply.
LONGEST_WAIT_METADATA: Final = "x-gateway-longest-wait"

# Written by the picker into dynamic metadata and read back from Envoy's access log. Never the request id, which a
# client can choose.
PICK_ID: Final = "x-pointsman-pick-id"
# Likewise, where a picker chooses nothing, so that another tier of the route serves.
LEFT_TO_OTHERS: Final = "x-pointsman-left-to-others"
# Written by a fused router into dynamic metadata: the body as the picker in the same process finds it again.
KEPT_BODY: Final = "x-pointsman-kept-body"
# A request header that asks for an explanation, and the response headers that give it.
EXPLAIN: Final = "x-pointsman-explain"
EXPLAIN_ENDPOINT: Final = "x-pointsman-endpoint"
EXPLAIN_MARGIN: Final = "x-pointsman-margin"
# Envoy writes an access-log entry for each live request this often; a picker counts the beats that it misses.
HEARTBEAT_SECONDS: Final = 5.0
# In the HTTP transport a refusal of 500 and above travels as headers, since ext_authz treats 5xx as a failed picker.
VERDICT: Final = "x-gateway-picker-verdict"
VERDICT_MESSAGE: Final = "x-gateway-picker-message"
VERDICT_RETRY_AFTER: Final = "x-gateway-picker-retry-after"
# Marks on requests of Envoy to the HTTP transport, written by the control plane alone. The first also asks for the
# body-based router's work; with the value `check` it asks for a judgement of the body instead of a pick. The second is
# a health check, which needs a mark of its own since every path belongs to clients.
MODEL_HEADERS: Final = "x-gateway-model-headers"
MODEL_HEADERS_CHECK: Final = "check"
PICKER_HEALTH: Final = "x-gateway-picker-health"

# What Envoy's access log carries. ext_authz writes the headers of its answers under this namespace, whatever the
# filter is called; token usage stands under the other one, written by Envoy's filters and by a Lua script.
EXT_AUTHZ_NAMESPACE: Final = "envoy.filters.http.ext_authz"
USAGE_NAMESPACE: Final = "llm"
COST_NAMESPACE: Final = "io.envoy.ai_gateway"  # what an AIGatewayRoute counts, as Envoy AI Gateway calls it
PROMPT_TOKENS: Final = "prompt_tokens"
COMPLETION_TOKENS: Final = "completion_tokens"
TOTAL_TOKENS: Final = "total_tokens"
CACHED_TOKENS: Final = "cached_tokens"
STORED_ID: Final = "id"  # the answer's, by which later requests name it
CACHE_CREATION_TOKENS: Final = "cache_creation_tokens"
CACHE_READ_TOKENS: Final = "cache_read_tokens"  # cached ones, where they are no part of the prompt tokens
REASONING_TOKENS: Final = "reasoning_tokens"
LACKS_END: Final = "lacks_end"  # 1 for a stream that ended without its last event
# A custom tag: milliseconds from the request's first byte to the first byte of the answer's body, "-" without one.
TTFT_TAG: Final = "ttft"

# Custom tags of an entry about one attempt that failed: which pick it belongs to, and which attempt it was.
ATTEMPT_PICK_TAG: Final = "pick"
ATTEMPT_TAG: Final = "attempt"
ATTEMPT_COUNT: Final = "x-envoy-attempt-count"  # of an attempt, in the request that it sends

PREFILL_ENDPOINT: Final = "x-prefiller-host-port"
ENCODE_ENDPOINTS: Final = "x-encoder-hosts-ports"
# The proxy beside a model server connects to these addresses; a picker writes them and a client may not.
SIDECAR_HEADERS: Final = (
    PREFILL_ENDPOINT,
    "x-prefiller-url",  # its older name
    ENCODE_ENDPOINTS,
    "x-data-parallel-host-port",
    "x-kv-cache-source-host-port",
)

CONTENT_ENCODING: Final = "content-encoding"
# Set by a model server (the simulator does) so that a person sees who answered.
INFERENCE_POD: Final = "x-inference-pod"
# Of a Pod or backend that a command of this project put in the place of a real one, so that nobody takes it for one.
SIMULATED_LABEL: Final = "pointsman.dev/simulated"
# Of a pool: how its picker is asked; or `round-robin`, which asks none.
PICKER_ANNOTATION: Final = "pointsman.dev/picker"
ROUND_ROBIN: Final = "round-robin"
# Envoy's name of a pool, by namespace and name: the control plane gives it, and the access log shows it.
POOL_CLUSTER: Final = "pool_{}_{}".format

# gRPC services, and the health service names that the reference answers to.
EXT_PROC_SERVICE: Final = "envoy.service.ext_proc.v3.ExternalProcessor"
ACCESS_LOG_SERVICE: Final = "envoy.service.accesslog.v3.AccessLogService"
HEALTH_SERVICE: Final = "grpc.health.v1.Health"
HEALTH_LIVENESS: Final = "liveness"
HEALTH_READINESS: Final = "readiness"
HEALTH_CHARTS: Final = "inference-extension"
HEALTH_SERVICES: Final = ("", EXT_PROC_SERVICE, HEALTH_READINESS, HEALTH_CHARTS)

# Request bodies above this are refused with 413 by Envoy, unless an operator chose another limit. A prompt of a million
# tokens is 4 MiB of text; the rest is room for pictures in base64. Envoy holds two to three copies of a body while the
# picker judges it.
DEFAULT_BODY_LIMIT_BYTES: Final = 16 * 1024 * 1024
# The largest limit that can be chosen: the services refuse bodies above it themselves.
BODY_LIMIT_BYTES: Final = 64 * 1024 * 1024
