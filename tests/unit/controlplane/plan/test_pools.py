"""What is known of all pools at once."""

from pathlib import Path

import pytest

from controlplane.options import Options
from controlplane.plan.pools import planned_pools
from gateway.kube.objects import TTFT_LIMIT_ANNOTATION
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool

NOTE = f"annotations: {{{TTFT_LIMIT_ANNOTATION}: 2s}}"
OBJECTIVE = (
    "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceObjective\n"
    f"metadata: {{name: o, {NOTE}}}\nspec: {{priority: 1, poolRef: {{name: p}}}}\n"
)


@pytest.mark.parametrize(
    ("limiting", "limited"),
    [((), []), ((OBJECTIVE,), ["p"]), ((route(name="l").replace("name: l,", f"name: l, {NOTE},"),), ["p", "q"])],
    ids=["nothing", "an objective", "a route"],
)
def test_a_first_token_is_limited_where_an_objective_or_any_route_says_so(
    tmp_path: Path, limiting: tuple[str, ...], limited: list[str]
) -> None:
    texts = (gateway(), route(to_pool()), pool(), pool("q"), pool("r", picker=""), service(), *limiting)
    found = planned_pools(manifests(tmp_path, *texts), {}, Options())

    assert [item.pool.meta.id.name for item in found if item.limits_first_token] == limited
