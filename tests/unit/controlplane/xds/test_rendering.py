"""What is rendered, looked at as the JSON that Envoy reads. (What Envoy makes of it is a contract test.)"""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.options import Options, PickerTransport
from controlplane.render import Rendered, render
from controlplane.xds.files import contents
from gateway.kube.objects import ObjectName
from tests.unit.controlplane.manifest_texts import (
    POOL_KIND,
    gateway,
    manifests,
    pool,
    route,
    routes_file,
    service,
    to_pool,
)

MODEL = "[{name: X-Gateway-Model-Name, value: m}]"


def rendered(folder: Path, *texts: str, options: Options | None = None) -> Rendered:
    found = render(manifests(folder, *texts), {}, options or Options())
    assert found.faults == ()
    return found


def resources(found: Rendered, file: str) -> list[Any]:
    listed: list[Any] = json.loads(contents(found.snapshot)[file])["resources"]
    return listed


def routes(found: Rendered, host: str = "*") -> dict[str, Any]:
    (config,) = resources(found, routes_file(contents(found.snapshot)))
    (vhost,) = (item for item in config["virtual_hosts"] if item["domains"] == [host])
    return {item["name"]: item for item in vhost["routes"]}


def test_the_same_manifests_give_the_same_bytes_and_an_edit_another_version(tmp_path: Path) -> None:
    texts = (gateway(), route(to_pool()), pool(), service())
    first, again = rendered(tmp_path, *texts), rendered(tmp_path, *texts)
    edited = rendered(tmp_path, gateway(), route(to_pool("/x")), pool(), service())

    assert first.snapshot == again.snapshot
    before, same, after = (contents(item.snapshot) for item in (first, again, edited))
    assert before == same
    versions = [json.loads(files[routes_file(files)])["version_info"] for files in (before, after)]
    assert versions[0] != versions[1]
    assert {name for name in before if before[name] != after[name]} == {"rds/listener_80_bbr_ext_proc.json"}


def test_every_reference_between_files_leads_somewhere(tmp_path: Path) -> None:
    found = rendered(tmp_path, gateway(), route(to_pool()), pool(), service(), options=Options(xds_dir=""))

    written = (part for content in contents(found.snapshot).values() for part in content.decode().split('"'))
    paths = {part for part in written if part.startswith("/") and part.endswith(".json")}
    assert paths == {f"/{name}" for name in contents(found.snapshot) if name not in ("cds.json", "lds.json")}


def test_control_of_the_model_list_goes_to_the_picker_unless_a_route_serves_it(tmp_path: Path) -> None:
    base = (gateway(), pool(), pool("q"), service())
    both = route(to_pool("/v1", headers=MODEL), to_pool("/v1", pool="q", headers="[{name: a, value: b}]"))

    models = routes(rendered(tmp_path, *base, both))["models"]
    overrides = models["typed_per_filter_config"]["envoy.filters.http.ext_proc/epp"]["overrides"]
    assert {"key": "x-gateway-inference-pool", "value": "default/p,default/q"} in overrides["grpc_initial_metadata"]

    assert "models" not in routes(rendered(tmp_path, *base, route(to_pool("/v1"))))
    assert "models" not in routes(rendered(tmp_path, gateway(), route(to_pool("/v1", headers=MODEL))))
    assert "models" in routes(rendered(tmp_path, *base, route(to_pool("/v1/chat"))))


def test_only_paths_that_are_exposed_by_model_explain_a_missing_one(tmp_path: Path) -> None:
    by_model = rendered(tmp_path, gateway(), route(to_pool("/v1", headers=MODEL)), pool(), service())
    plain = rendered(tmp_path, gateway(), route(to_pool("/v1")), pool(), service())

    assert routes(by_model)["model-not-found"]["match"]["path_separated_prefix"] == "/v1"
    assert list(routes(by_model))[-3:] == ["model-not-found", "model-missing", "route-not-found"]
    assert list(routes(plain)) == ["health", "default/r/0/0", "route-not-found"]


def test_every_other_host_is_a_404_of_its_own(tmp_path: Path) -> None:
    found = rendered(tmp_path, gateway(), route(to_pool(), hosts="a.example"), pool(), service())

    assert list(routes(found)) == ["route-not-found"]
    assert list(routes(found, "a.example")) == ["default/r/0/0", "route-not-found"]


@pytest.mark.parametrize(
    ("mode", "fallback"), [("FailOpen", "least_request"), ("FailClose", "subset")], ids=["open", "close"]
)
def test_the_failure_mode_is_made_in_the_pools_cluster(tmp_path: Path, mode: str, fallback: str) -> None:
    found = rendered(tmp_path, gateway(), route(to_pool()), pool(mode=mode), service())

    (cluster,) = (item for item in resources(found, "cds.json") if item["name"] == "pool_default_p")
    policy = cluster["load_balancing_policy"]["policies"][0]["typed_extension_config"]["typed_config"]
    sources = policy["override_host_sources"]
    assert all(set(source) == {"metadata"} for source in sources), "a header would let a client steer"
    assert fallback in policy["fallback_policy"]["policies"][0]["typed_extension_config"]["name"]
    overrides = routes(found)["default/r/0/0"]["typed_per_filter_config"]["envoy.filters.http.ext_proc/epp"][
        "overrides"
    ]
    assert overrides["failure_mode_allow"] is True


def test_a_pool_without_a_picker_is_balanced_by_envoy(tmp_path: Path) -> None:
    found = rendered(tmp_path, gateway(), route(to_pool()), pool(picker=""))

    (cluster,) = (item for item in resources(found, "cds.json") if item["name"] == "pool_default_p")
    assert "override_host" not in json.dumps(cluster)
    assert "typed_per_filter_config" not in routes(found)["default/r/0/0"]


def test_a_pool_goes_by_round_robin_where_its_annotation_says_so_and_its_answers_are_read(tmp_path: Path) -> None:
    notes = "pointsman.dev/picker: round-robin"
    options = Options(default_picker=(ObjectName("default", "epp"), 9002))
    both = route(to_pool("/a"), to_pool("/b", "q"))

    found = rendered(tmp_path, gateway(), both, pool(), pool("q", notes=notes), service(), options=options)

    (cluster,) = (item for item in resources(found, "cds.json") if item["name"] == "pool_default_q")
    (policy,) = cluster["load_balancing_policy"]["policies"]
    assert policy["typed_extension_config"]["name"] == "envoy.load_balancing_policies.round_robin"
    settings = {name: set(found["typed_per_filter_config"]) for name, found in routes(found).items() if "/r/" in name}
    asked, unasked = settings["default/r/0/0"], settings["default/r/1/0"]
    assert asked - unasked == {"envoy.filters.http.ext_proc/epp"}
    assert "round-robin" in found.status.pools[1].parents[0].conditions[1].message


def test_a_pool_whose_picker_is_nowhere_is_not_resolved_and_asks_nobody(tmp_path: Path) -> None:
    found = rendered(tmp_path, gateway(), route(to_pool()), pool())

    (status,) = found.status.pools
    assert status.parents[0].conditions[1].reason == "InvalidExtensionRef"
    assert "typed_per_filter_config" not in routes(found)["default/r/0/0"]
    assert "override_host" in contents(found.snapshot)["cds.json"].decode(), (
        "FailClose without a picker is 503, not any endpoint"
    )


def test_a_rule_with_several_backends_weighs_them_and_leaves_out_zero(tmp_path: Path) -> None:
    refs = ", ".join(
        f"{(POOL_KIND % name)[:-1]}, weight: {weight}}}" for name, weight in (("p", 7), ("q", 0), ("r", 3))
    )
    found = rendered(tmp_path, gateway(), route(f"{{backendRefs: [{refs}]}}"), pool(), pool("q"), pool("r"), service())

    weighted = routes(found)["default/r/0/0"]["route"]["weighted_clusters"]["clusters"]
    assert [(item["name"], item["weight"]) for item in weighted] == [("pool_default_p", 7), ("pool_default_r", 3)]
    assert all("typed_per_filter_config" in item for item in weighted)


def test_a_lone_backends_header_changes_follow_its_rules(tmp_path: Path) -> None:
    def change(value: str) -> str:
        return f"[{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x, value: '{value}'}}]}}}}]"

    ref = f"{(POOL_KIND % 'p')[:-1]}, filters: {change('b')}}}"
    found = rendered(tmp_path, gateway(), route(f"{{filters: {change('a')}, backendRefs: [{ref}]}}"), pool(), service())

    added = routes(found)["default/r/0/0"]["request_headers_to_add"]
    assert [item["header"]["value"] for item in added] == ["a", "b"]


def test_two_pools_of_one_picker_share_its_cluster_and_log(tmp_path: Path) -> None:
    found = rendered(tmp_path, gateway(), route(to_pool()), pool(), pool("q"), service())

    names = [item["name"] for item in resources(found, "cds.json")]
    (listener,) = resources(found, "lds.json")
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert names == ["pool_default_p", "pool_default_q", "epp_default_epp_9002", "bbr"]
    assert len(manager["access_log"]) == 1


@pytest.mark.parametrize(
    ("other", "ports"),
    [
        (pool("q"), (9002,)),
        (pool("q", notes="pointsman.dev/picker-http-port: '9099'"), (9002,)),
        (pool("q").replace("9002", "9003"), (9002, 9003)),
    ],
)
def test_each_port_of_a_picker_has_one_log_cluster_for_each_share_whatever_its_http_port(
    tmp_path: Path, other: str, ports: tuple[int, ...]
) -> None:
    both = service(spec="ports: [{name: a, port: 9002}, {name: b, port: 9003}]")
    shared = Options(picker=PickerTransport.HTTP, pickers_share_state=True)
    found = rendered(tmp_path, gateway(), route(to_pool()), pool(), other, both, options=shared)

    logs = [item["name"] for item in resources(found, "cds.json") if item["name"].startswith("picker-log")]
    assert sorted(logs) == [f"picker-log-{share}_default_epp_{port}" for share in (0, 1) for port in ports]


def test_options_change_what_they_say(tmp_path: Path) -> None:
    options = Options(
        bbr=None,
        usage_extraction=False,
        listen_address="::1",
        port_map={80: 8080},
        body_limit=5,
        stream_idle_timeout=1.5,
    )
    found = rendered(tmp_path, gateway(), route(to_pool()), pool(), service(), options=options)

    (listener,) = resources(found, "lds.json")
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert listener["address"]["socket_address"] == {"address": "::1", "port_value": 8080}
    assert [item["name"] for item in manager["http_filters"]] == [
        "envoy.filters.http.ext_proc/epp",
        "envoy.filters.http.ext_proc/epp_retry",
        "envoy.filters.http.router",
    ]
    assert manager["stream_idle_timeout"] == "1.5s"
    assert (
        resources(found, routes_file(contents(found.snapshot)))[0]["virtual_hosts"][0]["request_body_buffer_limit"] == 5
    )


def test_nothing_at_all_is_rendered_too(tmp_path: Path) -> None:
    found = rendered(tmp_path, "")

    assert resources(found, "lds.json") == []
    assert [item["name"] for item in resources(found, "cds.json")] == ["bbr"]


def test_a_rule_or_backend_with_a_filter_that_is_not_served_answers_500(tmp_path: Path) -> None:
    extension = "filters: [{type: ExtensionRef, extensionRef: {group: a.b, kind: Magic, name: m}}]"
    ref = POOL_KIND % "p"
    good, refused = f"{ref[:-1]}, weight: 9}}", f"{ref[:-1]}, {extension}}}"
    rules = (
        f"{{matches: [{{path: {{value: /a}}}}], {extension}, backendRefs: [{ref}]}}",
        f"{{matches: [{{path: {{value: /b}}}}], backendRefs: [{good}, {refused}]}}",
    )
    found = routes(rendered(tmp_path, gateway(), route(*rules), pool(), service()))

    assert found["invalid-filter"]["match"] == {"path_separated_prefix": "/a"}
    assert found["invalid-filter"]["route"] == {
        "cluster": "none",
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
    }
    shares = found["default/r/1/0"]["route"]["weighted_clusters"]["clusters"]
    assert [(share["name"], share["weight"]) for share in shares] == [("pool_default_p", 9), ("none", 1)]
    assert "typed_per_filter_config" not in shares[1], "nobody is asked for it"


def test_only_a_listener_whose_rules_want_it_has_the_cors_filter(tmp_path: Path) -> None:
    cors = "filters: [{type: CORS, cors: {allowOrigins: ['*']}}]"
    by_model = to_pool("/v1", headers=MODEL).replace("{matches", f"{{{cors}, matches")
    plain, asking = (rendered(tmp_path, gateway(), route(to_pool(), text), pool(), service())
                     for text in (to_pool("/v1", headers=MODEL), by_model))  # fmt: skip

    filters = [contents(found.snapshot)["lds.json"].count(b'filters.http.cors.v3.Cors"') for found in (plain, asking)]
    assert filters == [0, 1]
    names = list(routes(asking))
    assert names.index("default/r/1/0/preflight") + 1 == names.index("default/r/1/0")
    preflight = routes(asking)["default/r/1/0/preflight"]["match"]
    assert [header["name"] for header in preflight["headers"]] == [
        "origin",
        "access-control-request-method",
        ":method",
    ]


def test_a_match_on_another_name_of_the_model_header_is_one_on_the_model(tmp_path: Path) -> None:
    aliased = to_pool("/v1", headers="[{name: X-Gateway-Inference-Model, value: m}]")
    found, plain = (
        contents(rendered(tmp_path, gateway(), route(text), pool(), service()).snapshot)
        for text in (aliased, to_pool("/v1", headers=MODEL))
    )

    assert found == plain
