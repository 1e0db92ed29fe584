"""A SecurityPolicy that can be enforced is; what of it cannot be is said in its status, and keeps its target closed."""

from pathlib import Path

import pytest

from controlplane.options import Options
from controlplane.render import Rendered, render
from controlplane.xds.concealing import concealed
from controlplane.xds.files import contents
from gateway.kube.objects import AccessPolicy
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool
from tests.unit.kube.documents import head, read_one

SECURITY = head("SecurityPolicy", "gateway.envoyproxy.io/v1alpha1")
KEYS = "apiKeyAuth: {credentialRefs: [{name: keys}], extractFrom: [{headers: [x-api-key]}]}"
TOKENS = "jwt: {providers: [{name: p, remoteJWKS: {uri: 'https://x/k'}}]}"
SPLIT_CLAIM = "{provider: p, claims: [{name: a..b, values: [c]}]}"


def policy(spec: str = KEYS, name: str = "x", target: str = "Gateway, name: g", created: str = "") -> str:
    stamp = f", creationTimestamp: '{created}'" if created else ""
    return (
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\n"
        f"metadata: {{name: {name}{stamp}}}\nspec: {{{spec}, targetRefs: [{{group: g, kind: {target}}}]}}\n"
    )


def secret(data: str = "{alice: key-of-alice}", name: str = "keys") -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {data}\n"


def rendered(folder: Path, *texts: str) -> Rendered:
    found = manifests(folder, gateway(), route(to_pool("/a"), to_pool("/b")), pool(), service(), *texts)
    return render(found, {}, Options())


def message(found: Rendered, index: int = 0) -> tuple[bool, str, str]:
    accepted = found.status.policies[index].accepted
    return accepted.is_true, accepted.reason, accepted.message


def is_open(found: Rendered) -> bool:
    return b'"restricted"' not in b"".join(contents(found.snapshot).values())


def test_a_policy_that_is_enforced_is_accepted(tmp_path: Path) -> None:
    found = rendered(tmp_path, policy(), secret())

    assert message(found) == (True, "Accepted", "enforced for Gateway default/g")
    assert is_open(found)


@pytest.mark.parametrize(
    ("spec", "texts", "expected"),
    [
        (KEYS, [], "no Secret default/keys"),
        (KEYS, [secret("{}")], "no key in Secret default/keys"),
        (KEYS, [secret("{a: ''}")], "member a of Secret default/keys is empty"),
        (KEYS, [secret("{a: 'a b'}")], "member a of Secret default/keys holds a space or a control character"),
        (KEYS, [secret("{a: same, b: same}")], "member b of Secret default/keys has the same key as client a"),
        (
            KEYS.replace("name: keys", "name: keys, namespace: other"),
            [],
            "no ReferenceGrant lets it refer to Secret other/keys",
        ),
        (
            "basicAuth: {users: {name: keys}}",
            [secret("{.htpasswd: 'a:{SHA}short'}")],
            "line 1 of .htpasswd in Secret default/keys: expected USER:{SHA} and a hash, as htpasswd -s writes it",
        ),
        ("basicAuth: {users: {name: keys}}", [secret()], "no user in .htpasswd of Secret default/keys"),
        (
            'jwt: {providers: [{name: p, localJWKS: {inline: \'{"keys": [{"kty": "RSA"}]}\'}}]}',
            [],
            "the key set of provider p: keys[0].n: expected base64url text",
        ),
        (
            "jwt: {providers: [{name: p, localJWKS: {type: ValueRef, valueRef: {kind: ConfigMap, name: k}}}]}",
            [],
            "no ConfigMap default/k with a key set",
        ),
        (f"{KEYS}, oidc: {{}}, extAuth: {{}}", [secret()], "extAuth, oidc of SecurityPolicy is not supported"),
    ],
)
def test_a_policy_that_cannot_be_enforced_says_why_and_closes(
    tmp_path: Path, spec: str, texts: list[str], expected: str
) -> None:
    found = rendered(tmp_path, policy(spec), *texts)

    end = "; requests for Gateway default/g are answered with 500"
    assert message(found) == (False, "Invalid", expected + end)
    assert not is_open(found)


def test_of_two_policies_on_one_target_the_older_counts_and_both_say_so(tmp_path: Path) -> None:
    younger, older = policy(created="2026-02-01T00:00:00Z"), policy(name="z", created="2026-01-01T00:00:00Z")
    found = rendered(tmp_path, younger, older, secret())

    lost, won = message(found, 0), message(found, 1)
    assert lost == (False, "Conflicted", "Gateway default/g has the older SecurityPolicy default/z, which counts")
    assert won[0]
    assert won[2].endswith(
        "Gateway default/g is also targeted by the younger SecurityPolicy default/x, which does not count"
    )


@pytest.mark.parametrize("target", ["Gateway, name: gone", "HTTPRoute, name: r, sectionName: gone"])
def test_a_policy_that_targets_nothing_says_so(tmp_path: Path, target: str) -> None:
    found = rendered(tmp_path, policy(target=target), secret())

    assert message(found) == (False, "TargetNotFound", "it targets nothing that is here")


def test_no_key_is_shown(tmp_path: Path) -> None:
    users = policy("basicAuth: {users: {name: users}}", "u", "HTTPRoute, name: r")
    hashed = secret("{.htpasswd: 'ann:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA='}", "users")
    found = rendered(tmp_path, policy(), secret(), users, hashed)
    shown = b"".join(contents(concealed(found.snapshot)).values())

    assert b"key-of-alice" not in shown
    assert b"ann:{SHA}" not in shown
    assert "key-of-alice" not in f"{found.status}{found.snapshot}"


@pytest.mark.parametrize(
    ("spec", "place", "expected"),
    [
        ("apiKeyAuth: {extractFrom: [{headers: [a], params: [b]}]}", "spec.apiKeyAuth.credentialRefs", "required"),
        ("apiKeyAuth: {credentialRefs: [{name: k}], extractFrom: [{headers: ['a b']}]}",
         "spec.apiKeyAuth.extractFrom[0].headers[0]", "not a header name: 'a b'"),
        ("jwt: {providers: [{name: p}]}", "spec.jwt.providers[0].remoteJWKS",
         "exactly one of remoteJWKS and localJWKS is required"),
        ("jwt: {providers: [{name: p, remoteJWKS: {uri: ftp://x}}]}", "spec.jwt.providers[0].remoteJWKS.uri",
         "expected https://HOST/PATH, got 'ftp://x'"),
        ("authorization: {rules: [{action: Allow, principal: {clientCIDRs: [x]}}]}",
         "spec.authorization.rules[0].principal.clientCIDRs[0]", "expected a network such as 10.0.0.0/8, got 'x'"),
        ("authorization: {rules: [{action: Allow, principal: {jwt: {provider: p, scopes: [a]}}}]}",
         "spec.authorization.rules[0].principal.jwt.provider", "no provider 'p' in jwt.providers of this policy"),
        ("apiKeyAuth: {credentialRefs: [{name: k}], extractFrom: [{params: ['']}]}",
         "spec.apiKeyAuth.extractFrom[0].params[0]", "may not be empty"),
        (f"{TOKENS}, authorization: {{rules: [{{action: Allow, principal: {{jwt: {SPLIT_CLAIM}}}}}]}}",
         "spec.authorization.rules[0].principal.jwt.claims[0].name",
         "expected names with single dots between them, got 'a..b'"),
        ("authorization: {rules: [{action: Allow, principal: {headers: [], clientCIDRs: []}}]}",
         "spec.authorization.rules[0].principal", "at least one of clientCIDRs, jwt and headers is required"),
        ("authorization: {rules: [{principal: {clientCIDRs: [10.0.0.0/8]}}]}", "spec.authorization.rules[0].action",
         "expected Allow or Deny"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_with_its_place_and_closes(spec: str, place: str, expected: str) -> None:
    found, problems, _ = read_one(f"{SECURITY}spec: {{targetRefs: [{{group: g, kind: Gateway, name: a}}], {spec}}}")

    assert any(place in str(problem) and expected in str(problem) for problem in problems), problems
    assert getattr(found, "rules", "") is None


def test_a_rule_with_an_empty_name_has_one_for_envoy() -> None:
    rule = "{name: '', action: Allow, principal: {clientCIDRs: [10.0.0.0/8]}}"
    found, problems, _ = read_one(
        f"{SECURITY}spec: {{targetRefs: [{{group: g, kind: Gateway, name: a}}], authorization: {{rules: [{rule}]}}}}"
    )

    assert problems == []
    assert isinstance(found, AccessPolicy)
    assert found.rules is not None
    assert found.rules.authorization is not None
    assert [each.name for each in found.rules.authorization.rules] == ["rule-0"]


def test_where_tenants_do_not_apply_is_said(tmp_path: Path) -> None:
    tenants = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: t, labels: {pointsman.dev/tenants: 'true'}}\n"
        "data: {tenants: 'tenants: [{name: a}]'}\n"
    )
    other = route("{name: two, matches: [{path: {value: /c}}]}", name="o")
    found = rendered(tmp_path, tenants, other, policy(target="HTTPRoute, name: r"), secret())

    (warning,) = [each for each in found.status.warnings if "tenants" in each]
    assert warning.startswith(
        "port 80, host *: its routes differ in their policies (default/x), so the router does not"
    )
