"""The overlay with keys starts the services as the compose file does, with a few flags more."""

from pathlib import Path

import yaml


def test_the_overlay_adds_flags_and_changes_none(root: Path) -> None:
    plain, keyed = (
        yaml.safe_load((root / name).read_text())["services"] for name in ("compose.yaml", "compose.keys.yaml")
    )

    added = {}
    for name, service in keyed.items():
        before = plain[name]["command"]
        assert service["command"][: len(before)] == before
        added[name] = service["command"][len(before) :]
    assert added == {
        "controlplane": ["--router-authenticates"],
        "bbr": ["--keys-file", "/keys/keys.txt", "--cache-salt-file", "/keys/cache-salt"],
    }
