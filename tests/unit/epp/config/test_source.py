"""The file is followed however it changes; packages with plugins are found, and told when they cannot be used."""

from pathlib import Path

import pytest

from epp.app.config_file import MAX_BYTES, ConfigSource, UnreadableError
from epp.config import ConfigError, SchedulerConfig

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def listing(*types: str) -> str:
    return HEAD + "plugins: [" + ", ".join(f"{{type: {type_}}}" for type_ in types) + "]\n"


class Applied:
    """What was swapped in."""

    def __init__(self, file: Path) -> None:
        self.source = ConfigSource(file, None)
        self.configs: list[SchedulerConfig] = [self.source.load()]

    def look(self) -> list[str]:
        """The plugins in force after another look."""
        found = self.source.look()
        self.configs += [] if found is None else [found]
        return list(self.configs[-1].plugins)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "epp.yaml"
    found.write_text(listing("queue-scorer"))
    return found


def test_a_changed_file_is_applied_once(file: Path) -> None:
    applied = Applied(file)
    assert applied.look() == ["queue-scorer"]
    file.write_text(listing("random-picker"))
    assert applied.look() == ["random-picker"]
    applied.look()
    assert len(applied.configs) == 2


@pytest.mark.parametrize("wrong", [b"", b"a: [", listing("kueue-scorer").encode(), b"\x00", b"\xff\xfe", b"[" * 5000])
def test_a_bad_one_is_reported_once_and_the_one_in_force_stays(
    file: Path, wrong: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    applied = Applied(file)
    file.write_bytes(wrong)
    assert [applied.look(), applied.look()] == [["queue-scorer"], ["queue-scorer"]]
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("the one in force stays") == 1
    file.write_text(listing("random-picker"))
    assert applied.look() == ["random-picker"]


def test_a_file_replaced_whole_is_followed(file: Path) -> None:
    applied = Applied(file)
    fresh = file.with_name("new.yaml")
    fresh.write_text(listing("random-picker"))
    fresh.replace(file)
    assert applied.look() == ["random-picker"]


def test_a_mounted_config_map_is_followed_through_its_links(tmp_path: Path) -> None:
    def publish(version: str, text: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "epp.yaml").write_text(text)
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    publish("..1", listing("queue-scorer"))
    file = tmp_path / "epp.yaml"
    file.symlink_to("..data/epp.yaml")
    applied = Applied(file)
    publish("..2", listing("random-picker"))
    assert applied.look() == ["random-picker"]


def test_a_deleted_file_leaves_the_one_in_force_until_it_is_back(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    applied = Applied(file)
    file.unlink()
    assert [applied.look(), applied.look()] == [["queue-scorer"], ["queue-scorer"]]
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("No such file") == 1
    file.write_text(listing("random-picker"))
    assert applied.look() == ["random-picker"]


def test_a_file_without_end_is_refused(file: Path) -> None:
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(UnreadableError, match="larger than"):
        ConfigSource(file, None).load()


def install(where: Path, entry: str, code: str | None) -> None:
    """A package as an installer leaves it."""
    info = where / "own_plugins-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugins\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[pointsman.epp.plugins]\n{entry}\n")
    if code is not None:
        (where / f"{entry.split('= ')[1].split(':')[0]}.py").write_text(code)


RAISES_LATE = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Zone:
    def run(self, profiles, view, trace):
        return None

    def check(self, profiles):
        raise LookupError("no such zone")
"""


def test_a_profile_handler_that_cannot_be_asked_makes_a_change_wrong_and_the_one_in_force_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "zone = late_plugins:Zone", RAISES_LATE)
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "epp.yaml"
    file.write_text(HEAD)
    source = ConfigSource(file, None)
    source.load()
    file.write_text(HEAD + "plugins: [{type: zone}]\n")

    assert source.look() is None
    with pytest.raises(ConfigError, match=r"epp.yaml:3: plugins\[0\]: Zone cannot be checked: no such zone"):
        source.load()


def page() -> str:
    text = (Path(__file__).resolve().parents[4] / "docs" / "plugins.md").read_text()
    return text.split("`my_plugins.py`:")[1].split("```python\n")[1].split("```")[0]


def test_an_installed_package_brings_its_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "zone-scorer = page_plugins:ZoneScorer", page())
    monkeypatch.syspath_prepend(tmp_path)
    source = ConfigSource(None, HEAD + "plugins: [{type: zone-scorer, parameters: {zone: b}}]\n")
    assert [scorer.name for scorer in source.load().profiles["default"].scorers] == ["zone-scorer"]


@pytest.mark.parametrize(
    ("entry", "code", "words"),
    [
        ("zone-scorer = gone_plugins:Zone", None, "plugin 'zone-scorer' of gone_plugins:Zone cannot be loaded"),
        ("zone-scorer = dead_plugins:Zone", "raise RuntimeError('no licence')", "cannot be loaded: no licence"),
        ("queue-scorer = twin_plugins:Zone", "Zone = int", "there is a type of that name already"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(
    entry: str, code: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, entry, code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnreadableError, match=words):
        ConfigSource(None, None)


RAISES = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Zone:
    def __post_init__(self):
        raise LookupError("no such zone")
"""
MADE = "from dataclasses import make_dataclass\nZone = make_dataclass('Zone', {})\n"


@pytest.mark.parametrize(
    ("module", "code", "words"),
    [
        ("raising_plugins", RAISES, "cannot be made: no such zone"),
        ("plain_plugins", "class Zone:\n    pass\n", "cannot be made: must be called with a dataclass"),
        ("idle_plugins", MADE.format([]), "plays no part"),
        ("wanting_plugins", MADE.format(["a"]), "cannot be made: "),
    ],
)
def test_a_type_that_cannot_be_used_is_a_problem_of_its_line(
    module: str, code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, f"zone = {module}:Zone", code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as caught:
        ConfigSource(None, HEAD + "plugins: [{type: zone}]\n").load()
    assert str(caught.value).startswith(f"--config-text:3: plugins[0].type: 'zone' {words}")
