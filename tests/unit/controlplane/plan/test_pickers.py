"""Which door of which picker is asked, and how models reach the routes' headers then."""

import json
from pathlib import Path

import pytest

from controlplane.options import Options, PickerBody, PickerTransport
from controlplane.plan.backend_tls import rule_for
from controlplane.plan.pickers import Picker, picker
from controlplane.render import render
from controlplane.status.conditions import Condition
from controlplane.xds.files import contents
from gateway.kube.objects import ObjectName
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, routes_file, service, to_pool

REWRITE = (
    "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModelRewrite\nmetadata: {name: w}\n"
    "spec: {poolRef: {name: p}, rules: [{targets: [{modelRewrite: b}]}]}\n"
)
BASES = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n"
    '  labels: {inference.networking.k8s.io/bbr-managed: "true"}\ndata: {baseModel: m.1, adapters: "[a]"}\n'
)
BY_MODEL = to_pool("/v1", headers="[{name: x-gateway-model-name, value: a}]")
BY_BASE = to_pool("/v1", headers="[{name: x-gateway-base-model-name, value: m.1}]")


def chosen(folder: Path, option: PickerTransport, notes: str = "", *more: str, shares: bool = False) -> Picker:
    found = manifests(folder, pool(notes=notes), service(), *more)
    options = Options(picker=option, pickers_share_state=shares)
    result = picker(found.pools[ObjectName("default", "p")], found, {}, options)
    assert isinstance(result, Picker)
    return result


@pytest.mark.parametrize(
    ("option", "notes", "more", "transport", "reason"),
    [
        ("ext_proc", "", (), "ext_proc", "--picker ext_proc"),
        ("http", "", (), "http", "--picker http"),
        ("http", "", (REWRITE,), "http", "such requests will fail"),
        ("auto", "", (), "http", "--picker auto: nothing rewrites the body"),
        ("auto", "", (REWRITE,), "ext_proc", "InferenceModelRewrite default/w rewrites the model"),
        ("ext_proc", "pointsman.dev/picker: auto", (), "http", "annotation pointsman.dev/picker auto"),
        ("http", "pointsman.dev/picker: ext_proc", (), "ext_proc", "annotation pointsman.dev/picker ext_proc"),
        ("http", "pointsman.dev/picker: grpc", (), "ext_proc", "'grpc' is none of ext_proc, http, auto"),
    ],
)
def test_the_door_and_why(
    tmp_path: Path, option: str, notes: str, more: tuple[str, ...], transport: str, reason: str
) -> None:
    found = chosen(tmp_path, PickerTransport(option), notes, *more)

    assert found.transport == transport
    assert reason in found.reason


@pytest.mark.parametrize(
    ("option", "notes", "body", "reason"),
    [
        (PickerBody.BUFFERED, "", "BUFFERED", "buffered: --picker-body buffered"),
        (PickerBody.FULL_DUPLEX, "", "FULL_DUPLEX_STREAMED", "full-duplex: --picker-body full-duplex"),
        (
            PickerBody.FULL_DUPLEX,
            "pointsman.dev/picker-body: streamed",
            "STREAMED",
            "streamed: annotation pointsman.dev/picker-body",
        ),
        (
            PickerBody.BUFFERED,
            "pointsman.dev/picker-body: duplex",
            "BUFFERED",
            "buffered: annotation pointsman.dev/picker-body: 'duplex' is none of buffered, streamed, full-duplex",
        ),
    ],
)
def test_how_a_picker_gets_bodies_and_why(
    tmp_path: Path, option: PickerBody, notes: str, body: str, reason: str
) -> None:
    found = manifests(tmp_path, gateway(), route(to_pool("/v1")), pool(notes=notes), service())

    rendered = render(found, {}, Options(picker_body=option))

    assert [status.picker_body for status in rendered.status.pools] == [reason]
    files = contents(rendered.snapshot)
    routes = json.dumps(json.loads(files[routes_file(files)]))
    assert f'"request_body_mode": "{body}"' in routes


def test_pools_that_share_a_picker_may_have_bodies_sent_differently(tmp_path: Path) -> None:
    others = pool("q", notes="pointsman.dev/picker-body: full-duplex")
    routes = route(to_pool("/v1")), route(to_pool("/v2", pool="q"), name="other")
    found = manifests(tmp_path, gateway(), *routes, pool(), others, service())

    clusters = json.loads(contents(render(found, {}, Options()).snapshot)["cds.json"])["resources"]

    panic = {each["name"]: each["common_lb_config"] for each in clusters if each["name"].startswith("epp")}
    assert {name: config["healthy_panic_threshold"]["value"] for name, config in panic.items()} == {
        "epp_default_epp_9002": 1.0,
        "epp-duplex_default_epp_9002": 0.0,
    }


TWO = (
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
    "metadata: {name: e, labels: {kubernetes.io/service-name: epp}}\naddressType: IPv4\n"
    "endpoints: [{addresses: [10.0.0.1, 10.0.0.2]}]\nports: [{port: 9002}]\n"
)


@pytest.mark.parametrize("option", [PickerTransport.HTTP, PickerTransport.AUTO])
def test_several_pickers_are_asked_over_http_only_if_they_share_their_state(
    tmp_path: Path, option: PickerTransport
) -> None:
    found = chosen(tmp_path, option, "", TWO)
    sharing = chosen(tmp_path, option, "", TWO, shares=True)

    assert (found.transport, sharing.transport) == (PickerTransport.EXT_PROC, PickerTransport.HTTP)
    assert "2 pickers over HTTP know of each other's requests through Redis only" in found.reason


def test_the_http_door_is_on_the_hosts_of_the_service(tmp_path: Path) -> None:
    found = chosen(tmp_path, PickerTransport.HTTP, "pointsman.dev/picker-http-port: '7'", TWO)

    assert [str(item) for item in found.endpoints] == ["10.0.0.1:9002", "10.0.0.2:9002"]
    assert [str(item) for item in found.http_endpoints] == ["10.0.0.1:7", "10.0.0.2:7"]


def test_each_worker_of_a_picker_is_an_endpoint(tmp_path: Path) -> None:
    found = chosen(tmp_path, PickerTransport.HTTP, "pointsman.dev/picker-workers: '2'", TWO, shares=True)

    assert [str(item) for item in found.endpoints] == [
        "10.0.0.1:9002", "10.0.0.1:9102", "10.0.0.2:9002", "10.0.0.2:9102",
    ]  # fmt: skip
    assert [str(item) for item in found.http_endpoints] == [
        "10.0.0.1:9006", "10.0.0.1:9106", "10.0.0.2:9006", "10.0.0.2:9106",
    ]  # fmt: skip


def test_workers_of_one_host_are_asked_over_http_without_a_redis(tmp_path: Path) -> None:
    one = TWO.replace("10.0.0.1, ", "")
    found = chosen(tmp_path, PickerTransport.HTTP, "pointsman.dev/picker-workers: '4'", one)

    assert found.transport is PickerTransport.HTTP
    assert len(found.http_endpoints) == 4


@pytest.mark.parametrize("written", ["0", "-1", "65", "two", "²"])
def test_a_number_of_workers_that_is_none_counts_as_the_operators(tmp_path: Path, written: str) -> None:
    found = chosen(tmp_path, PickerTransport.EXT_PROC, f"pointsman.dev/picker-workers: '{written}'", TWO)

    assert found.workers == 1


@pytest.mark.parametrize(
    ("option", "rule", "lifts"),
    [
        ("ext_proc", BY_MODEL, "ext_proc/bbr"),
        ("http", BY_MODEL, "lua/model"),
        ("http", to_pool("/v1"), ""),
        ("auto", BY_BASE, "lua/model"),
    ],
)
def test_who_lifts_the_model(tmp_path: Path, option: str, rule: str, lifts: str) -> None:
    found = manifests(tmp_path, gateway(), route(rule), pool(), service(), BASES)

    rendered = render(found, {}, Options(picker=PickerTransport(option)))

    (port,) = rendered.status.ports
    assert port.lift == {"ext_proc/bbr": "bbr", "lua/model": "script", "": "none"}[lifts]
    files = contents(rendered.snapshot)
    listener = files["lds.json"].decode()
    assert [name for name in ("ext_proc/bbr", "lua/model") if f"envoy.filters.http.{name}" in listener] == [lifts][
        : bool(lifts)
    ]
    assert '"name": "bbr"' in files["cds.json"].decode(), "connections made before a change still ask it"


def test_without_a_router_a_base_model_is_matched_by_its_names(tmp_path: Path) -> None:
    texts = (gateway(), route(BY_BASE), pool(), service())

    known = contents(render(manifests(tmp_path, *texts, BASES), {}, Options(picker=PickerTransport.HTTP)).snapshot)
    unknown = contents(render(manifests(tmp_path, *texts), {}, Options(picker=PickerTransport.HTTP)).snapshot)

    assert r"a|m\\.1" in known[routes_file(known)].decode()
    assert "default/r/0/0" not in unknown[routes_file(known)].decode()


def test_the_status_says_which_door_and_why(tmp_path: Path) -> None:
    found = render(manifests(tmp_path, pool(), service()), {}, Options(picker=PickerTransport.AUTO))

    (status,) = found.status.pools
    assert (status.picker, status.picker_reason) == ("http", "--picker auto: nothing rewrites the body")


def test_routes_for_other_filters_have_another_name(tmp_path: Path) -> None:
    """Old connections stay with old filters for a while, and must find the routes that were written for them."""
    found = manifests(tmp_path, gateway(), route(BY_MODEL), pool(), service())

    by_door = {
        door: routes_file(contents(render(found, {}, Options(picker=door)).snapshot)) for door in PickerTransport
    }

    assert by_door == {
        PickerTransport.EXT_PROC: "rds/listener_80_bbr_ext_proc.json",
        PickerTransport.HTTP: "rds/listener_80_script_http.json",
        PickerTransport.AUTO: "rds/listener_80_script_http.json",
    }


ASKED = Options(default_picker=(ObjectName("default", "epp"), 9002))


def test_a_pool_that_names_no_picker_has_the_default_one(tmp_path: Path) -> None:
    found = manifests(tmp_path, gateway(), route(to_pool()), pool(picker=""), service())

    with_default, without = render(found, {}, ASKED), render(found, {}, Options())

    messages = [item.status.pools[0].parents[0].conditions[1].message for item in (with_default, without)]
    assert messages == [
        "The default endpoint picker default/epp is asked",
        "The pool names no endpoint picker and there is no default one: Envoy balances it by least request",
    ]
    clusters = contents(with_default.snapshot)["cds.json"].decode()
    assert '"failure_mode": "FailOpen"' in clusters, "without its pick it is balanced as without a default"
    assert "epp_default_epp_9002" in clusters
    assert "epp_default" not in contents(without.snapshot)["cds.json"].decode()


def test_the_default_picker_does_the_work_of_envoy_ai_gateways_own(tmp_path: Path) -> None:
    found = manifests(tmp_path, pool(picker="envoy-ai-gateway"), service())

    result = picker(found.pools[ObjectName("default", "p")], found, {}, ASKED)

    assert isinstance(result, Picker)
    assert (result.service, result.is_default) == (ObjectName("default", "epp"), True)


def test_a_default_picker_that_is_nowhere_is_a_fault_of_each_pool_that_needs_it(tmp_path: Path) -> None:
    found = manifests(tmp_path, pool(picker=""))

    result = picker(found.pools[ObjectName("default", "p")], found, {}, ASKED)

    assert isinstance(result, Condition)
    assert result.reason == "InvalidExtensionRef"


RULE = (
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d}\n"
    "spec: {host: epp, trafficPolicy: {tls: {mode: %s, insecureSkipVerify: true}}}\n"
)


@pytest.mark.parametrize(
    ("texts", "by_default", "security", "is_tls"),
    [
        ((), False, "plaintext: --picker-tls plaintext", False),
        ((), True, "unverified TLS: --picker-tls tls", True),
        ((RULE % "SIMPLE",), False, "unverified TLS: DestinationRule default/d", True),
        ((RULE % "DISABLE",), True, "plaintext: DestinationRule default/d", False),
    ],
)
def test_tls_to_the_picker_is_a_rules_or_an_options_choice(
    tmp_path: Path, texts: tuple[str, ...], by_default: bool, security: str, is_tls: bool
) -> None:
    found = render(manifests(tmp_path, pool(), service(), *texts), {}, Options(picker_tls=by_default))

    assert found.status.pools[0].picker_security == security
    assert (b"UpstreamTlsContext" in contents(found.snapshot)["cds.json"]) == is_tls


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (("epp",), "d0"),
        (("epp.default",), "d0"),
        (("epp.default.svc.cluster.local",), "d0"),
        (("other",), ""),
        (("*.default.svc.cluster.local",), "d0"),
        (("*", "*.default.svc.cluster.local"), "d1"),
        (("*.default.svc.cluster.local", "epp"), "d1"),
        (("*.o.svc.cluster.local",), ""),
    ],
)
def test_the_rule_with_the_most_specific_host_counts(tmp_path: Path, hosts: tuple[str, ...], expected: str) -> None:
    texts = [
        RULE.replace("name: d}", f"name: d{number}}}").replace("host: epp", f"host: '{host}'") % "SIMPLE"
        for number, host in enumerate(hosts)
    ]
    found = rule_for(ObjectName("default", "epp"), manifests(tmp_path, *texts))

    assert (found.meta.id.name if found else "") == expected
