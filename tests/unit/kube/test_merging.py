"""What a reading with problems amounts to: a document that is invalid costs its own object."""

from collections.abc import Mapping

from gateway.kube.objects import Manifests
from gateway.kube.reading.contents import Contents, entries
from gateway.kube.resolution.merging import Loaded, held, merged
from gateway.schema.problems import Place, Problem

BROKEN = "kind: ["


def service(name: str, port: object = 80) -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n---\n"


def loaded(*folders: Mapping[str, str]) -> Loaded:
    return merged(
        [[_contents(f"{index}/{name}", text) for name, text in folder.items()] for index, folder in enumerate(folders)]
    )


def _contents(file: str, text: str) -> Contents:
    problems: list[Problem] = []
    found = tuple(entries(text, file, problems))
    return Contents(found, tuple(problems))


def ports(manifests: Manifests) -> dict[str, int]:
    return {name.name: found.ports[0].port for name, found in manifests.services.items()}


def after(before: Loaded, now: Loaded) -> dict[str, int]:
    assert now.problems
    return ports(held(before.manifests, now))


def test_an_invalid_object_stays_as_it_was_and_all_else_goes_on() -> None:
    before = loaded({"a": service("x", 1) + service("y", 1) + service("z", 1)})
    now = loaded({"a": service("x", "wrong") + service("y", 2)})

    assert after(before, now) == {"x": 1, "y": 2}, "z was deleted"


def test_an_object_that_never_was_good_is_missing() -> None:
    assert after(loaded({}), loaded({"a": service("x", "wrong") + service("y", 2)})) == {"y": 2}


def test_what_a_broken_file_held_stays_but_for_what_it_still_says() -> None:
    before = loaded({"a": service("x", 1) + service("y", 1), "b": service("z", 1)})
    now = loaded({"a": service("x", 2) + BROKEN})

    assert after(before, now) == {"x": 2, "y": 1}, "z was deleted with its file"


def test_an_overlay_that_cannot_be_read_still_hides_what_it_replaced() -> None:
    before = loaded({"a": service("x", 1)}, {"a": service("x", 2)})
    now = loaded({"a": service("x", 1)}, {"a": BROKEN})

    assert after(before, now) == {"x": 2}


def test_of_an_object_that_is_written_twice_the_served_one_stays() -> None:
    before = loaded({"b": service("x", 1)})
    now = loaded({"a": service("x", 2), "b": service("x", 1)})

    assert after(before, now) == {"x": 1}
    assert after(loaded({}), now) == {"x": 2}


def test_a_folder_that_is_gone_keeps_its_objects() -> None:
    before = loaded({"a": service("x", 1)}, {"b": service("y", 1)})
    gone = [Contents(problems=(Problem(Place("1"), "", "no such folder"),))]
    now = merged([[_contents("0/a", service("x", 2))], gone])

    assert after(before, now) == {"x": 2, "y": 1}


def test_a_policy_with_a_problem_still_keeps_requests_out() -> None:
    text = "apiVersion: kuadrant.io/v1\nkind: AuthPolicy\nmetadata: {name: x}\nspec: {targetRef: {kind: Gateway}}\n"
    now = loaded({"a": text})

    assert now.problems
    assert [policy.meta.id.name for policy in now.manifests.policies.values()] == ["x"]


def test_policies_of_two_kinds_may_share_a_name() -> None:
    text = "".join(
        f"apiVersion: kuadrant.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n---\n"
        for kind in ("AuthPolicy", "RateLimitPolicy")
    )
    now = loaded({"a": text})

    assert now.problems == ()
    assert len(now.manifests.policies) == 2
