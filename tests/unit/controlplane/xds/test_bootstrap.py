"""The two bootstraps say the same but for where the configuration comes from."""

from pathlib import Path
from typing import Any

import yaml

from controlplane.deployment import bootstrap
from tests.conftest import ROOT


def shared(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "envoy" / name).read_text())
    return {key: value for key, value in found.items() if key not in ("dynamic_resources", "static_resources")}


def test_both_give_envoy_the_same_limits() -> None:
    assert shared("bootstrap.yaml") == shared("bootstrap-grpc.yaml")
    assert "layered_runtime" in shared("bootstrap-grpc.yaml")


def test_a_deployed_envoy_has_the_same_files() -> None:
    for name, file in (("bootstrap.yaml", "bootstrap-grpc.yaml"), ("run", "run")):
        deployed = Path(bootstrap.__file__).parent / "files" / name
        assert deployed.read_text() == (ROOT / "envoy" / file).read_text()
