"""Which listeners are served, with which certificates, and why others are not."""

import base64
from pathlib import Path

import pytest

from controlplane.options import Options
from controlplane.plan.planning import Plan, plan
from controlplane.render import render
from controlplane.status.conditions import Condition
from controlplane.xds.files import contents
from gateway.kube.objects import ObjectName
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool

PEM = "-----BEGIN {0}-----\nTUlJQg==\n-----END {0}-----\n"
CHAIN, KEY = PEM.format("CERTIFICATE"), PEM.format("PRIVATE KEY")


def https(name: str = "s", port: int = 443, secret: str = "c", host: str = "", more: str = "") -> str:
    host = f", hostname: '{host}'" if host else ""
    return (
        f"{{name: {name}, port: {port}, protocol: HTTPS{host}, tls: {{certificateRefs: [{{name: {secret}{more}}}]}}}}"
    )


def secret(name: str = "c", chain: str = CHAIN, key: str = KEY, namespace: str = "default") -> str:
    data = {"tls.crt": base64.b64encode(chain.encode()).decode(), "tls.key": base64.b64encode(key.encode()).decode()}
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"type: kubernetes.io/tls\ndata: {data}\n"
    )


def planned(folder: Path, *texts: str, options: Options | None = None) -> Plan:
    return plan(manifests(folder, *texts), {}, options or Options())


def conditions(found: Plan, gateway: int = 0, listener: int = 0) -> dict[str, Condition]:
    return {item.type: item for item in found.status.gateways[gateway].listeners[listener].conditions}


def test_an_https_listener_serves_with_the_certificate_of_its_secret(tmp_path: Path) -> None:
    found = planned(tmp_path, gateway(https(host="a.example"), https("w", host="*.example")), secret(), route())

    (port,) = found.ports
    assert [(host.hostname, [each.id for each in host.certificates]) for host in port.tls] == [
        ("a.example", [ObjectName("default", "c")]),
        ("*.example", [ObjectName("default", "c")]),
    ]
    assert all(item.is_true for item in conditions(found).values())
    assert found.status.routes[0].parents[0].conditions[0].is_true


@pytest.mark.parametrize(
    ("listener", "texts", "reason", "message"),
    [
        (https(), (), "InvalidCertificateRef", "no Secret default/c"),
        (https(), (secret(chain="x"),), "InvalidCertificateRef", "Secret default/c has no certificate in tls.crt"),
        (https(), (secret(key=CHAIN),), "InvalidCertificateRef", "Secret default/c has no private key in tls.key"),
        (https(more=", kind: ConfigMap"), (), "InvalidCertificateRef", "ConfigMap default/c is no Secret"),
        (https(more=", namespace: o"), (secret(namespace="o"),), "RefNotPermitted", "no ReferenceGrant"),
    ],
)
def test_a_listener_without_a_certificate_is_not_programmed(
    tmp_path: Path, listener: str, texts: tuple[str, ...], reason: str, message: str
) -> None:
    found = planned(tmp_path, gateway(listener), route(), *texts)

    shown = conditions(found)
    assert shown["Accepted"].is_true
    assert (shown["ResolvedRefs"].is_true, shown["ResolvedRefs"].reason) == (False, reason)
    assert shown["ResolvedRefs"].message.startswith(message)
    assert not shown["Programmed"].is_true
    assert found.ports == ()


def test_a_grant_lets_a_gateway_use_a_secret_of_another_namespace(tmp_path: Path) -> None:
    grant = (
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: o}\n"
        "spec:\n  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}]\n"
        "  to: [{group: '', kind: Secret}]\n"
    )
    found = planned(tmp_path, gateway(https(more=", namespace: o")), secret(namespace="o"), grant)

    assert len(found.ports[0].tls) == 1


@pytest.mark.parametrize(
    ("listener", "reason"),
    [
        ("{name: s, port: 443, protocol: HTTPS}", "UnsupportedValue"),
        ("{name: s, port: 443, protocol: TLS, tls: {mode: Passthrough}}", "UnsupportedProtocol"),
        (https().replace("tls: {", "tls: {frontendValidation: {}, "), "UnsupportedValue"),
        ("{name: s, port: 443, protocol: TLS}", "UnsupportedProtocol"),
    ],
)
def test_a_listener_that_cannot_be_served_is_not_accepted(tmp_path: Path, listener: str, reason: str) -> None:
    found = planned(tmp_path, gateway(listener), secret(), route())

    assert not conditions(found)["Accepted"].is_true
    assert conditions(found)["Accepted"].reason.startswith(reason)
    assert found.ports == ()


def test_client_certificates_that_a_gateway_demands_are_not_ignored(tmp_path: Path) -> None:
    strict = gateway(https()).replace("spec: {", "spec: {tls: {frontend: {default: {validation: {}}}}, ")

    assert "nobody may connect" in conditions(planned(tmp_path, strict, secret()))["Accepted"].message


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("{name: a, port: 80, protocol: HTTP}", https(port=80), "ProtocolConflict"),
        (https(), https(), "HostnameConflict"),
        ("{name: a, port: 80, protocol: HTTP}", "{name: b, port: 8080, protocol: HTTP}", "PortUnavailable"),
    ],
)
def test_of_two_listeners_that_cannot_share_a_port_the_first_is_served(
    tmp_path: Path, first: str, second: str, reason: str
) -> None:
    options = Options(port_map={80: 8080})
    found = planned(tmp_path, gateway(first), gateway(second, name="h"), secret(), options=options)

    assert conditions(found, 0)["Programmed"].is_true
    assert conditions(found, 1)["Accepted"].reason == reason
    assert len(found.ports) == 1


def test_values_of_secrets_are_in_no_text(tmp_path: Path) -> None:
    found = manifests(tmp_path, gateway(https()), secret(), route(to_pool()), pool(), service())
    rendered = render(found, {}, Options())

    shown = contents(rendered.snapshot)["sds/secret_default_c.json"].decode()
    written = base64.b64encode(KEY.encode()).decode()
    assert written in shown
    for text in (repr(found), repr(plan(found, {}, Options())), repr(rendered)):
        assert "TUlJQg" not in text
        assert written not in text


@pytest.mark.parametrize(
    ("served_at", "wanted", "reason", "shown"),
    [
        (("10.0.0.1",), "10.0.0.1", "Programmed", ("10.0.0.1",)),
        (("10.0.0.1",), "10.0.0.9", "AddressNotUsable", ("10.0.0.1",)),
        ((), "10.0.0.9", "Programmed", ("10.0.0.9",)),
    ],
)
def test_a_gateway_that_is_not_at_its_address_is_not_programmed(
    tmp_path: Path, served_at: tuple[str, ...], wanted: str, reason: str, shown: tuple[str, ...]
) -> None:
    asking = gateway().replace("spec: {", f"spec: {{addresses: [{{value: {wanted}}}], ")
    (status,) = plan(manifests(tmp_path, asking, route()), {}, Options(addresses=served_at)).status.gateways

    assert {item.type: item.reason for item in status.conditions}["Programmed"] == reason
    assert status.addresses == shown


def test_routes_of_namespaces_with_the_labels_alone_are_attached(tmp_path: Path) -> None:
    selecting = "{matchExpressions: [{key: team, operator: In, values: [a, b]}]}"
    namespaces = f"{{namespaces: {{from: Selector, selector: {selecting}}}}}"
    allowing = f"{{name: h, port: 80, protocol: HTTP, allowedRoutes: {namespaces}}}"
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {team: %s}}\n"
    routes = [route(name=name, namespace=name, parents="{name: g, namespace: default}") for name in ("n", "o", "p")]
    texts = (gateway(allowing), *routes, namespace % ("n", "a"), namespace % ("o", "c"))
    found = plan(manifests(tmp_path, *texts), {}, Options()).status.routes

    reasons = {item.id.name: item.parents[0].conditions[0].reason for item in found}
    assert reasons == {"n": "Accepted", "o": "NotAllowedByListeners", "p": "NotAllowedByListeners"}
