"""What a snapshot says of its content, and of what changed since another."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.xds.snapshot import Changes, Snapshot, snapshot_of

TYPE = "type.googleapis.com/a.Type"
BODIES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), max_size=6)


def snapshot(bodies: dict[str, int]) -> Snapshot:
    return snapshot_of({TYPE: [{"name": name, "is": value} for name, value in bodies.items()]})


@given(BODIES, BODIES)
def test_changes_lead_from_one_to_the_other(before: dict[str, int], after: dict[str, int]) -> None:
    changes = snapshot(after).changes_since(snapshot(before), TYPE)

    held = dict(before)
    for item in changes.updated:
        assert held.get(item.name) != item.body["is"], "only what changed is sent"
        held[item.name] = item.body["is"]  # type: ignore[assignment]
    for name in changes.removed:
        del held[name]
    assert held == after


@given(BODIES)
def test_the_same_content_has_the_same_version(bodies: dict[str, int]) -> None:
    assert snapshot(bodies) == snapshot(dict(bodies))
    assert snapshot(bodies).changes_since(snapshot(bodies), TYPE) == Changes()


def test_a_version_is_of_one_resource_alone() -> None:
    one, two = snapshot({"a": 1, "b": 1}), snapshot({"a": 1, "b": 2})

    versions = [[item.version for item in found.of(TYPE)] for found in (one, two)]
    assert versions[0][0] == versions[1][0]
    assert versions[0][1] != versions[1][1]
    assert one.versions != two.versions


def test_a_type_that_was_never_set_has_no_version() -> None:
    assert Snapshot().versions == {}
    assert snapshot({}).versions.keys() == {TYPE}
    assert snapshot({"a": 1}).changes_since(Snapshot(), TYPE).updated == snapshot({"a": 1}).of(TYPE)
