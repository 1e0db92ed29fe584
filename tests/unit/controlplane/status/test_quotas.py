"""What the author of a quota is told: that it is not enforced, gives way, or is for nothing that is served."""

from pathlib import Path

import pytest

from controlplane.options import Options
from controlplane.render import render
from controlplane.status.report import complaints
from controlplane.xds.resources import names
from gateway.kube.sources.files import load
from tests.unit.controlplane.manifest_texts import gateway, manifests

SERVED = Options(quotas=("127.0.0.1", 9002))
ROUTE = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIGatewayRoute
metadata: {name: ai}
spec:
  parentRefs: [{name: g, kind: Gateway, group: gateway.networking.k8s.io}]
  rules:
  - matches: [{headers: [{type: Exact, name: x-ai-eg-model, value: m}]}]
    backendRefs: [{name: b, modelNameOverride: real}]
"""
BACKEND = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIServiceBackend
metadata: {name: b}
spec: {schema: {name: OpenAI}, backendRef: {name: b, kind: Backend, group: gateway.envoyproxy.io}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: b}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: 1}}]}
"""


def config(*lines: str) -> str:
    head = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: q, labels: {pointsman.dev/quotas: "true"}}\ndata:\n'
    return head + "  all: |\n" + "".join(f"    - {line}\n" for line in lines)


def policy(model: str = "m", name: str = "p", target: str = "b", created: str = "2026-01-01T00:00:00Z") -> str:
    quota = f"[{{modelName: {model}, quota: {{mode: Shared, defaultBucket: {{limit: 5, duration: 60s}}}}}}]"
    ref = f"[{{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: {target}}}]"
    return (
        f"apiVersion: aigateway.envoyproxy.io/v1alpha1\nkind: QuotaPolicy\n"
        f'metadata: {{name: {name}, creationTimestamp: "{created}"}}\n'
        f"spec: {{targetRefs: {ref}, perModelQuotas: {quota}}}\n"
    )


def complaints_of(folder: Path, *texts: str, options: Options = SERVED) -> str:
    found = render(manifests(folder, gateway(), ROUTE, BACKEND, *texts), {}, options)
    assert found.faults == ()
    return "\n".join(complaints(found.status))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("{name: a, when: {model: absent}, tokens: 1, per: day}",), "q/a: no route serves a model 'absent'"),
        (("{name: a, tokens: 0, per: day}",), "q/a: a limit of 0 refuses every request"),
        (
            ("{name: a, tokens: 9, per: day}", "{name: b, when: {tenant: x}, tokens: 1, per: day}"),
            "q/a: gives way to default/q/b, which is more specific",
        ),
        (
            ("{name: a, when: {tenant: x}, tokens: 9, per: day}", "{name: b, when: {tenant: x}, requests: 1, per: day}",
             "{name: c, when: {tenant: x, model: m}, tokens: 9, per: 24h, shadow: true}"),
            "",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_do_what_it_seems_to_says_so(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    found = complaints_of(tmp_path, config(*lines))

    assert message in found
    assert ("quota" in found) == bool(message)


def test_quotas_that_nothing_counts_are_no_silent_promise(tmp_path: Path) -> None:
    line = "{name: a, tokens: 9, per: day}"

    assert "not enforced: no --quota-address" in complaints_of(tmp_path, config(line), options=Options())
    refused = complaints_of(tmp_path, config(line), policy(), options=Options())
    assert "no --quota-address says which service counts them; requests for Service" in refused


@pytest.mark.parametrize(
    ("texts", "messages"),
    [
        ((policy(),), ()),
        ((policy("real"),), ()),
        ((policy("absent"),), ("no route serves a model 'absent'",)),
        ((policy(target="c"),), ("QuotaPolicy default/p: Accepted is false: TargetNotFound",)),
        (
            (policy(), policy(name="a", created="2026-02-01T00:00:00Z")),
            ("QuotaPolicy default/a: Accepted is false: Conflicted: QuotaPolicy default/p has its target",),
        ),
    ],
)
def test_a_policy_says_what_became_of_it(tmp_path: Path, texts: tuple[str, ...], messages: tuple[str, ...]) -> None:
    found = complaints_of(tmp_path, *texts)

    assert all(message in found for message in messages), found
    assert ("Quota" in found or "quota" in found) == bool(messages)


@pytest.mark.parametrize(
    ("wrong", "closed"),
    [
        (policy().replace("60s", "soon"), "Service default/b"),
        (policy().replace("limit: 5", "limit: many"), "Service default/b"),
        (policy().replace("name: b}]", "name: [b]}]"), "Gateway default/g"),
        (policy().replace("AIServiceBackend, name: b", "Other, name: b"), "Gateway default/g"),
    ],
)
def test_at_the_start_a_policy_with_a_problem_closes_what_it_is_for(tmp_path: Path, wrong: str, closed: str) -> None:
    (tmp_path / "all.yaml").write_text(f"{gateway()}\n---\n{ROUTE}\n---\n{BACKEND}\n---\n{wrong}")
    loaded = load([tmp_path])
    assert loaded.problems

    found = "\n".join(complaints(render(loaded.manifests, {}, SERVED).status))

    assert "its specification has a problem; requests for " in found
    assert closed in found


def test_without_quotas_nothing_is_asked(tmp_path: Path) -> None:
    def shown(*texts: str) -> str:
        found = render(manifests(tmp_path, gateway(), ROUTE, BACKEND, *texts), {}, SERVED).snapshot
        return str([item.body for kind in (names.LISTENER_TYPE, names.ROUTES_TYPE) for item in found.of(kind)])

    assert names.RATE_LIMIT_FILTER not in shown()
    assert names.RATE_LIMIT_FILTER in shown(config("{tokens: 9, per: day}"))
