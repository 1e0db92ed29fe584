"""A real Envoy with a configuration of our own, one HTTP filter on each listener, and an upstream that echoes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

Tree = dict[str, object]

LARGEST_BODY = 64 * 2**20
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


async def echo(request: web.Request) -> web.StreamResponse:
    """The body comes back, in pieces; what arrived as headers comes back as headers."""
    body = await request.read()
    await asyncio.sleep(float(request.headers.get("x-wait", "0")))
    answer = web.StreamResponse(
        headers={"x-destination": request.headers.get("x-gateway-destination-endpoint", "none")}
    )
    await answer.prepare(request)
    for start in range(0, len(body), 100_000):
        await answer.write(body[start : start + 100_000])
    await answer.write_eof()
    return answer


def echo_server() -> web.Application:
    app = web.Application(client_max_size=128 * 2**20)
    app.router.add_route("*", "/{path:.*}", echo)
    return app


def listener(port: int, http_filter: Tree, connection_buffer: int) -> Tree:
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": f"type.googleapis.com/{MANAGER}",
        "stat_prefix": "http",
        "http_protocol_options": {"enable_trailers": True},
        "http_filters": [http_filter, {"name": "router", "typed_config": router}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all", "domains": ["*"], "request_body_buffer_limit": LARGEST_BODY,
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}],
                }
            ]
        },
    }  # fmt: skip
    return {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "per_connection_buffer_limit_bytes": connection_buffer,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def cluster(name: str, port: int, *, http2: bool = False) -> Tree:
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": name,
        "type": "STATIC",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {
            "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }  # fmt: skip


@asynccontextmanager
async def envoy(
    binary: Path,
    folder: Path,
    filters: Mapping[int, Tree],
    clusters: Sequence[Tree],
    *,
    admin: int | None = None,
    connection_buffer: int = LARGEST_BODY,
) -> AsyncIterator[None]:
    """One Envoy with one listener for each port. It reads about `connection_buffer` bytes of a connection at a time,
    and sends a body on in messages of that size."""
    bootstrap: Tree = {
        "static_resources": {
            "listeners": [listener(port, http_filter, connection_buffer) for port, http_filter in filters.items()],
            "clusters": clusters,
        }
    }
    if admin is not None:
        bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
    (folder / "envoy.json").write_text(json.dumps(bootstrap))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary, "-c", str(folder / "envoy.json"), "--concurrency", "1", "--disable-hot-restart", "-l", "warning",
            stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
