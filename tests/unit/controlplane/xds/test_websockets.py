"""Which routes open websockets, and what else a listener makes of an offered protocol."""

import re
from pathlib import Path
from typing import Any

from tests.unit.controlplane.manifest_texts import gateway, pool, route, service, to_pool
from tests.unit.controlplane.xds.test_rendering import rendered, resources, routes

OPENING = "metadata: {annotations: {pointsman.dev/websockets: 'true'}, "


def opening(*rules: str) -> str:
    return route(*rules).replace("metadata: {", OPENING)


def ignores(found: Any, token: str) -> bool:
    (listener,) = resources(found, "lds.json")
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    listed = manager["http_protocol_options"]["ignore_http_11_upgrade"]
    return any(re.fullmatch(each["safe_regex"]["regex"], token) for each in listed)


def test_every_token_is_ignored_but_that_of_websockets_where_a_route_opens_them(tmp_path: Path) -> None:
    without = rendered(tmp_path, gateway(), route(to_pool()), pool(), service())
    found = rendered(tmp_path, gateway(), opening(to_pool()), pool(), service())
    others = ("", "h2c", "TLS/1.2", "w", "websocke", "websockets", "xebsocket", "websockex", "HTTP/2.0", "connect-udp")

    assert ignores(without, "websocket")
    assert all(ignores(found, token) and ignores(without, token) for token in others)
    assert not any(ignores(found, token) for token in ("websocket", "WebSocket"))


def test_a_route_with_a_body_stays_as_it_is_beside_its_companion(tmp_path: Path) -> None:
    plain = routes(rendered(tmp_path, gateway(), route(to_pool()), pool(), service()))
    found = routes(rendered(tmp_path, gateway(), opening(to_pool()), pool(), service()))

    opened = found.pop("default/r/0/0/websocket")
    assert found == plain
    assert opened["route"]["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    settings = opened["typed_per_filter_config"]
    modes = [
        settings[name]["overrides"]["processing_mode"]["request_body_mode"]
        for name in ("envoy.filters.http.ext_proc/epp", "envoy.filters.http.ext_proc/bbr")
    ]
    assert modes == ["NONE", "NONE"]


def test_what_leads_nowhere_or_is_for_another_method_opens_nothing(tmp_path: Path) -> None:
    rules = (to_pool("/a", pool="gone"), to_pool("/b", method="POST"))
    found = routes(rendered(tmp_path, gateway(), opening(*rules), pool(), service()))

    assert not [name for name in found if name.endswith("/websocket")]
