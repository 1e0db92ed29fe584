"""Whatever an API server does in between, a reflector knows its objects in the end, and asks with measure."""

from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.kube.sources.cluster.reflector import Event, EventType, Item, List, Page, Reflector, Wait, Watch

PAGE = 2
NAMES = "abcde"

FAULTS = st.sampled_from(["410", "429", "500", "403", "lost", "short", "long", "bookmark", "compact", "none"])
CHANGES = st.tuples(st.sampled_from(NAMES), st.integers(0, 3))


@dataclass
class Server:
    """Objects with a log of changes, of which old ones are forgotten; time is what was waited."""

    objects: dict[str, int] = field(default_factory=dict)
    log: list[Event[int]] = field(default_factory=list)
    version: int = 1
    oldest: int = 1
    now: float = 0.0
    asked: int = 0
    listing: dict[str, list[Item[int]]] = field(default_factory=dict)

    def put(self, name: str, value: int) -> None:
        """A value of 0 deletes."""
        self.version += 1
        if value:
            kind = EventType.MODIFIED if name in self.objects else EventType.ADDED
            self.objects[name] = value
        elif name in self.objects:
            kind, value = EventType.DELETED, self.objects.pop(name)
        else:
            return
        self.log.append(Event(kind, Item(name, value), str(self.version)))

    def page(self, continuation: str) -> Page[int] | None:
        """None: the continuation is too old."""
        if continuation and continuation not in self.listing:
            return None
        items = self.listing.pop(continuation) if continuation else [Item(*each) for each in self.objects.items()]
        version = continuation or str(self.version)
        if len(items) <= PAGE:
            return Page(items, version)
        self.listing[version] = items[PAGE:]
        return Page(items[:PAGE], version, version)

    def events(self, since: int) -> list[Event[int]]:
        return [event for event in self.log if int(event.resource_version) > since]

    def compact(self) -> None:
        self.oldest = self.version
        self.listing.clear()


def step(machine: Reflector[int], server: Server, fault: str) -> None:
    """One question and its answer."""
    todo = machine.next_step()
    if isinstance(todo, Wait):
        server.now += todo.seconds
        return
    server.asked += 1
    if fault == "compact":
        server.compact()
    if fault.isdecimal():
        machine.refused(int(fault))
    elif fault == "lost":
        machine.lost()
    elif isinstance(todo, List):
        page = server.page(todo.continuation)
        machine.refused(410) if page is None else machine.listed(page)
    else:
        watch(machine, server, todo, fault)


def watch(machine: Reflector[int], server: Server, todo: Watch, fault: str) -> None:
    machine.opened()
    if int(todo.resource_version) < server.oldest:
        machine.refused(410)
        return
    for event in server.events(int(todo.resource_version)):
        machine.changed(event)
    if fault == "bookmark":
        machine.changed(Event(EventType.BOOKMARK, None, str(server.version)))
    lasted = 0.0 if fault == "short" else 300.0
    server.now += lasted
    machine.ended(lasted)


@given(st.lists(st.tuples(FAULTS, st.lists(CHANGES, max_size=3)), max_size=40), st.integers(0, 100), st.booleans())
def test_the_objects_are_known_once_the_faults_end(
    story: list[tuple[str, list[tuple[str, int]]]], seed: int, is_quiet: bool
) -> None:
    machine, server = Reflector[int](("v1",), Random(seed)), Server()
    for fault, changes in story:
        for name, value in changes:
            server.put(name, value)
        step(machine, server, fault)
    if not is_quiet:
        server.put("z", 1)
    for _ in range(20):
        step(machine, server, "none")

    assert sorted(machine.items) == sorted(server.objects.values())
    assert machine.is_settled


@given(st.lists(FAULTS.filter(lambda fault: fault not in ("long", "none", "bookmark")), min_size=100, max_size=300))
def test_a_server_that_is_never_well_is_asked_with_measure(faults: list[str]) -> None:
    machine, server = Reflector[int](("v1",), Random(2)), Server()
    for fault in faults:
        step(machine, server, fault)

    assert server.asked <= 20 + server.now, "more than one a second, after a start"


@given(st.lists(st.sampled_from(["lost", "500", "429", "403", "401"]), max_size=50))
def test_no_object_goes_that_the_server_has(faults: list[str]) -> None:
    machine, server = Reflector[int](("v1",), Random(3)), Server()
    server.put("a", 1)
    for _ in range(3):
        step(machine, server, "none")
    for fault in faults:
        step(machine, server, fault)
        assert machine.items == (1,)
