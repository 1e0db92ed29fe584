"""Folders are merged in order, and one bad file hides no other."""

import gc
import json
from itertools import pairwise
from pathlib import Path
from time import thread_time

from gateway.kube.objects import ObjectKey, ObjectName
from gateway.kube.resolution.merging import changed
from gateway.kube.sources.files import MAX_FILE_BYTES, FolderReader, files, load
from gateway.schema.problems import Place

LONGEST_PIECE_SECONDS = 0.02  # what a loop may be held for


def config_map(name: str, value: str = "1", extra: str = "") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '{value}'{extra}}}\n"


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_files_of_every_kind_are_found_in_depth_and_hidden_ones_skipped(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {
            "a.yaml": config_map("a"),
            "deep/er/b.yml": config_map("b"),
            "c.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}',
            ".hidden.yaml": config_map("h"),
            "..data/d.yaml": config_map("d"),
            "notes.txt": "not: [yaml",
        },
    )

    loaded = load([folder])

    assert loaded.problems == ()
    assert sorted(name.name for name in loaded.manifests.config_maps) == ["a", "b", "c"]


def test_a_later_folder_replaces_an_object_whole(tmp_path: Path) -> None:
    base = written(tmp_path / "base", {"a.yaml": config_map("a", "1", ", b: '2'") + "---\n" + config_map("b")})
    overlay = written(tmp_path / "overlay", {"other.yaml": config_map("a", "9")})

    loaded = load([base, overlay])

    assert loaded.problems == ()
    assert {name.name: dict(found.data) for name, found in loaded.manifests.config_maps.items()} == {
        "a": {"a": "9"},
        "b": {"a": "1"},
    }


def test_an_objective_replaces_the_one_of_its_name_in_the_group_it_had_before(tmp_path: Path) -> None:
    head = "apiVersion: {}/v1alpha2\nkind: InferenceObjective\nmetadata: {{name: a}}\n"
    text = head + "spec: {{priority: {}, poolRef: {{name: p}}}}\n"
    base = written(tmp_path / "base", {"a.yaml": text.format("llm-d.ai", 1)})
    overlay = written(tmp_path / "overlay", {"a.yaml": text.format("inference.networking.x-k8s.io", 2)})
    both = written(
        tmp_path / "both", {"a.yaml": (base / "a.yaml").read_text(), "b.yaml": (overlay / "a.yaml").read_text()}
    )

    assert [found.priority for found in load([base, overlay]).manifests.objectives.values()] == [2]
    assert [found.priority for found in load([overlay, base]).manifests.objectives.values()] == [1]
    assert "already in" in load([both]).problems[0].message


def test_a_mistake_that_an_overlay_replaces_does_not_count(tmp_path: Path) -> None:
    base = written(tmp_path / "base", {"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: 3\n"})
    overlay = written(tmp_path / "overlay", {"a.yaml": config_map("a")})

    assert len(load([base]).problems) == 1
    assert load([base, overlay]).problems == ()


def test_two_objects_of_one_name_in_one_folder_are_a_problem(tmp_path: Path) -> None:
    folder = written(tmp_path, {"a.yaml": config_map("a"), "b.yaml": config_map("c") + "---\n" + config_map("a")})

    (problem,) = load([folder]).problems

    assert problem.place == Place(str(tmp_path / "b.yaml"), 8)
    assert f"already in {tmp_path / 'a.yaml'}:1" in problem.message


def test_each_bad_file_is_named_and_the_good_ones_are_read(tmp_path: Path) -> None:
    folder = written(
        tmp_path, {"good.yaml": config_map("a"), "bad.yaml": "a: [", "long.yaml": "#" * (MAX_FILE_BYTES + 1)}
    )
    (folder / "binary.yaml").write_bytes(b"a: \xff")
    (folder / "gone.yaml").symlink_to(folder / "nowhere")

    loaded = load([folder])

    assert [Path(problem.place.source).name for problem in loaded.problems] == [
        "bad.yaml",
        "binary.yaml",
        "gone.yaml",
        "long.yaml",
    ]
    assert list(loaded.manifests.config_maps) == [("default", "a")]


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    (problem,) = load([tmp_path / "nowhere"]).problems

    assert str(problem) == f"{tmp_path / 'nowhere'}: no such folder"


def test_a_link_back_to_its_own_folder_is_not_followed(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")
    (inner / "up").symlink_to(tmp_path)
    (inner / "same").symlink_to(inner)

    assert list(files(tmp_path)) == [str(inner / "a.yaml")]
    assert load([tmp_path]).problems == ()


def test_an_edit_reads_only_the_file_that_changed(tmp_path: Path) -> None:
    written(tmp_path, {f"{name}.yaml": config_map(name) for name in "abc"})
    pauses: list[None] = []
    reader = FolderReader([tmp_path], lambda: pauses.append(None))
    first = reader.read()
    assert first is not None
    assert len(pauses) == 6, "a look at each file, and each object"

    assert reader.read() is None, "nothing changed"

    (tmp_path / "b.yaml").write_text(config_map("b", "22"))
    pauses.clear()
    second = reader.read()

    assert second is not None
    assert len(pauses) == 4, "a look at each file, and one object"
    before, after = first.manifests.config_maps, second.manifests.config_maps
    assert [name.name for name in after if after[name] is not before[name]] == ["b"]
    assert changed(first.manifests, second.manifests) == {ObjectKey("ConfigMap", ObjectName("default", "b"))}


def test_an_object_that_only_moved_has_not_changed(tmp_path: Path) -> None:
    file = written(tmp_path, {"a.yaml": config_map("a")}) / "a.yaml"
    reader = FolderReader([tmp_path])
    first = reader.read()
    file.write_text("# a line more\n" + file.read_text())
    second = reader.read()

    assert first is not None
    assert second is not None
    assert changed(first.manifests, second.manifests) == frozenset()
    assert next(iter(second.manifests.config_maps.values())).meta.place == Place(str(file), 2)


def test_a_large_file_is_read_in_short_pieces(tmp_path: Path) -> None:
    many = "---\n".join(config_map(f"m{number}") for number in range(1000))
    listed = json.dumps({
        "apiVersion": "v1",
        "kind": "List",
        "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{at}"}} for at in range(1000)],
    })  # fmt: skip
    written(tmp_path, {"a.yaml": many, "b.json": listed})
    pauses: list[float] = []
    gc.disable()  # a collection walks all that the test run holds
    try:
        loaded = FolderReader([tmp_path], lambda: pauses.append(thread_time())).read()
    finally:
        gc.enable()

    assert loaded is not None
    assert len(loaded.manifests.namespaces) == len(loaded.manifests.config_maps) == 1000
    assert max(after - before for before, after in pairwise(pauses)) < LONGEST_PIECE_SECONDS
