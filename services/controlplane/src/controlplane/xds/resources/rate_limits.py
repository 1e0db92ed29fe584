"""How Envoy asks about quotas: before a request is placed, and with what it used once it has ended. Pure.

Rate limits stand in settings of the filter for a route. In the route's own action they would be taken, too, but their
counts would be left out. A count that is not known leaves its descriptor away.
"""

import json
from typing import Final

from controlplane.options import Options
from controlplane.plan.backend_tls import unverified
from controlplane.plan.entries import Backend
from controlplane.plan.quotas import PlannedQuotas
from controlplane.xds.resources import names
from controlplane.xds.resources.clusters import service_cluster_of
from controlplane.xds.resources.names import Tree, seconds, typed
from controlplane.xds.resources.tls import tls
from gateway.wire import quotas

_RATE_LIMIT: Final = "envoy.extensions.filters.http.ratelimit.v3"
# Who was admitted, as the service said then.
_ADMITTED: Final[Tree] = {
    "metadata": {
        "descriptor_key": quotas.SUBJECT,
        "metadata_key": {"key": quotas.SUBJECT_NAMESPACE, "path": [{"key": quotas.SUBJECT}]},
        "source": "DYNAMIC",
        "skip_if_absent": True,
    }
}
TIMEOUT_SECONDS: Final = 0.5  # more than the service waits for its counters


def filters(options: Options) -> list[Tree]:
    """The HTTP filter of a listener. It does nothing but on routes that ask for it."""
    service: Tree = {"envoy_grpc": {"cluster_name": names.QUOTA_CLUSTER}}
    if options.quota_token is not None:
        service["initial_metadata"] = [{"key": quotas.TOKEN, "value": names.Concealed(options.quota_token)}]
    return [
        {
            "name": names.RATE_LIMIT_FILTER,
            "typed_config": typed(
                f"{_RATE_LIMIT}.RateLimit",
                domain=quotas.DOMAIN,
                timeout=seconds(TIMEOUT_SECONDS),
                failure_mode_deny=options.quotas_fail_closed,
                status_on_error={"code": "ServiceUnavailable"},
                disable_x_envoy_ratelimited_header=True,
                rate_limit_service={
                    "transport_api_version": "V3",
                    "grpc_service": service,
                },
            ),
        }
    ]


def on_route(planned: PlannedQuotas, backend: Backend, options: Options) -> Tree:
    """Filter settings of a route whose requests count."""
    attributes = [*map(_header, planned.headers), *_of_backend(planned, backend)]
    shape = [_header((name, name)) for name in (quotas.PATH, quotas.REQUEST_ID)]
    mode = _value(quotas.FAILURE_MODE, quotas.FAILS_CLOSED if options.quotas_fail_closed else quotas.FAILS_OPEN)
    admission = [_value(quotas.PHASE, quotas.ADMISSION), mode, *attributes, *shape]
    at_end = [
        ([_value(quotas.PHASE, quotas.END), _ADMITTED, *attributes], "%RESPONSE_CODE%"),
        *(([_value(quotas.COUNT, name)], source) for name, source in quotas.COUNTS.items()),
    ]
    limits: list[Tree] = [{"actions": admission, "hits_addend": {"number": 0}}]
    limits += [
        {"actions": actions, "apply_on_stream_done": True, "hits_addend": {"format": source}}
        for actions, source in at_end
    ]
    return {names.RATE_LIMIT_FILTER: typed(f"{_RATE_LIMIT}.RateLimitPerRoute", rate_limits=limits)}


def cluster(options: Options) -> Tree:
    """The service that counts."""
    assert options.quotas is not None
    host, port = options.quotas
    found = service_cluster_of(names.QUOTA_CLUSTER, host, port)
    return {**found, "transport_socket": tls(unverified(host), ("h2",), options)} if options.picker_tls else found


def _of_backend(planned: PlannedQuotas, backend: Backend) -> list[Tree]:
    """What rules of QuotaPolicies are about."""
    found = []
    if backend.ai_backend is not None:
        attribute = f"{quotas.BACKEND_PREFIX}{backend.ai_backend}"
        found += [_value(attribute, quotas.TRUE)] if attribute in planned.backends else []
    renamed = dict(backend.changes.fields).get(quotas.MODEL)
    if found and renamed is not None:
        found.append(_value(quotas.SERVED_MODEL, str(json.loads(renamed))))
    return found


def _header(item: tuple[str, str]) -> Tree:
    attribute, header = item
    return {"request_headers": {"header_name": header, "descriptor_key": attribute, "skip_if_absent": True}}


def _value(key: str, value: str) -> Tree:
    return {"generic_key": {"descriptor_key": key, "descriptor_value": value}}
