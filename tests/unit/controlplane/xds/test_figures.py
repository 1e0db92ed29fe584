"""What Envoy's figures say about files."""

from controlplane.status.uptake import Uptake
from controlplane.xds.figures import NO_FIGURES, uptake
from controlplane.xds.resources import names
from controlplane.xds.snapshot import snapshot_of

FOUND = snapshot_of(
    {
        names.CLUSTER_TYPE: [{"name": "c"}],
        names.ENDPOINTS_TYPE: [{"cluster_name": "c"}],
        names.ROUTES_TYPE: [{"name": "r"}],
        names.LISTENER_TYPE: [{"name": "l"}],
    }
)
SUBSCRIPTIONS = {
    "cluster_manager.cds": FOUND.versions[names.CLUSTER_TYPE],
    "listener_manager.lds": FOUND.versions[names.LISTENER_TYPE],
    "cluster.c": FOUND.of(names.ENDPOINTS_TYPE)[0].version,
    "http.l.rds.r": FOUND.of(names.ROUTES_TYPE)[0].version,
}
TAKEN: dict[str, str | int] = {f"{name}.version_text": version for name, version in SUBSCRIPTIONS.items()}


def test_a_snapshot_is_taken_when_every_subscription_has_its_version() -> None:
    assert uptake(FOUND, "e", TAKEN, NO_FIGURES) == Uptake(FOUND.version, taken=("e",))
    for name in SUBSCRIPTIONS:
        older = {**TAKEN, f"{name}.version_text": "older"}
        assert uptake(FOUND, "e", older, NO_FIGURES) == Uptake(FOUND.version, waiting=("e",))


def test_a_rejection_counts_since_the_last_snapshot_that_was_taken() -> None:
    older = {**TAKEN, "http.l.rds.r.version_text": "older", "http.l.rds.r.update_rejected": 2}

    (refusal,) = uptake(FOUND, "e", older, {"http.l.rds.r.update_rejected": 1}).refusals
    assert (refusal.node, refusal.message) == ("e", "update_rejected of http.l.rds.r has grown")
    assert uptake(FOUND, "e", older, {"http.l.rds.r.update_rejected": 2}).waiting == ("e",)


def test_an_envoy_that_does_not_answer_is_not_there() -> None:
    assert uptake(FOUND, "e", None, NO_FIGURES) == Uptake(FOUND.version)
