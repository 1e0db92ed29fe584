"""Overlays of the compose file start the services as it does, with a few flags more."""

from pathlib import Path

import pytest
import yaml

FLAGS = {
    "compose.keys.yaml": {
        "controlplane": ["--router-authenticates"],
        "bbr": ["--keys-file", "/keys/keys.txt", "--cache-salt-file", "/keys/cache-salt"],
    },
    "compose.traces.yaml": {
        "controlplane": ["--tracing-collector", "traces:4317", "--tracing-sampling", "100"],
        "bbr": ["--tracing"],
        "epp": ["--tracing"],
    },
}


@pytest.mark.parametrize("overlay", FLAGS)
def test_an_overlay_adds_flags_and_changes_none(root: Path, overlay: str) -> None:
    plain, more = (yaml.safe_load((root / name).read_text())["services"] for name in ("compose.yaml", overlay))

    added = {}
    for name in plain.keys() & more.keys():
        before = plain[name]["command"]
        assert more[name]["command"][: len(before)] == before
        added[name] = more[name]["command"][len(before) :]
    assert added == FLAGS[overlay]


def test_the_page_of_traces_is_for_this_host_alone(root: Path) -> None:
    traces = yaml.safe_load((root / "compose.traces.yaml").read_text())["services"]["traces"]

    assert all(port.startswith("127.0.0.1:") for port in traces["ports"])
    assert "models" not in traces["networks"]
    assert traces["read_only"]
