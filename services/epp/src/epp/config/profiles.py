"""The `schedulingProfiles` section, and the handler that chooses between profiles. Pure.

The defaulting rules are upstream's: without profiles one `default` profile gets all filters, scorers and pickers
listed; a profile without a picker gets the first listed one or max-score-picker; a single profile needs no handler.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from epp.config.catalogue import KNOWN_HANDLERS, PLUGINS, Named
from epp.config.listing import Listed, Listing
from epp.scheduling.handlers import DisaggProfileHandler, HeaderProfileHandler, SingleProfileHandler
from epp.scheduling.pickers import MaxScorePicker
from epp.scheduling.plugin import Filter, Picker, Profile, ProfileHandler, WeightedScorer
from epp.scheduling.roles import DECIDER, FILTER, PICKER, PRODUCER, PROFILE_HANDLER, SCORER
from gateway.schema.fields import Fields, fields_of
from gateway.schema.values import Value

# What upstream runs with when nothing is listed.
_UPSTREAM_DEFAULT: Final = (
    ("queue-scorer", 2.0),
    ("kv-cache-utilization-scorer", 2.0),
    ("prefix-cache-scorer", 3.0),
)


_PARTS_OF_PROFILES: Final = frozenset((FILTER, SCORER, PICKER))
_ELSEWHERE: Final = frozenset((PRODUCER,))  # serves every profile; some releases' examples list it in one


@dataclass(frozen=True, slots=True)
class Built:
    """A profile with the listed plugins that take part in it."""

    profile: Profile
    members: tuple[Listed, ...]


class _Builder:
    """Collects the parts of one profile."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filters: list[tuple[str, Filter]] = []
        self.scorers: list[WeightedScorer] = []
        self.picker: Picker | None = None
        self.members: list[Listed] = []

    def add(self, listed: Listed, weight: float, place: Value | None, second_picker: str) -> bool:
        """Give a plugin its parts in this profile; False if it has none. A second picker is a problem at its place."""
        plugin, roles = listed.plugin, listed.roles
        if FILTER in roles:
            self.filters.append((listed.name, plugin))
        if SCORER in roles:
            self.scorers.append(WeightedScorer(listed.name, plugin, weight))
        if PICKER in roles:
            if self.picker is not None and place is not None:
                place.problem(second_picker)
            self.picker = self.picker or plugin
        has_part = not roles.isdisjoint(_PARTS_OF_PROFILES)
        if has_part:
            self.members.append(listed)
        return has_part

    def build(self, listing: Listing) -> Built:
        """The profile, with the first listed picker where it names none."""
        listed: Iterator[Picker] = (each.plugin for each in listing.with_role(PICKER))
        picker = self.picker or next(listed, None) or MaxScorePicker()
        profile = Profile(self.name, tuple(self.filters), tuple(self.scorers), picker)
        return Built(profile, tuple(self.members))


def profiles_of(top: Fields, listing: Listing) -> Sequence[Built]:
    """The profiles written, else the default one."""
    profiles: list[Built] = []
    for value in top.items("schedulingProfiles"):
        item = fields_of(value)
        if item is None:
            continue
        name = item.text("name", required=True)
        if any(built.profile.name == name for built in profiles):
            value.problem(f"another profile is named {name!r}, too")
        elif name:
            profiles.append(_profile(name, item.items("plugins"), listing))
        item.known("plugins")
        item.done()
    return profiles or [_default_profile(listing)]


def _profile(name: str, plugins: Sequence[Value], listing: Listing) -> Built:
    builder = _Builder(name)
    for value in plugins:
        item = fields_of(value)
        if item is not None:
            _add(builder, item, listing)
            item.done()
    return builder.build(listing)


def _add(builder: _Builder, item: Fields, listing: Listing) -> None:
    reference, weighed = item.value("pluginRef", required=True), item.value("weight")
    weight = None if weighed is None else weighed.number()
    listed = None if reference is None else listing.referred(reference)
    if reference is None or listed is None:
        return
    second = f"profile {builder.name!r} has a picker already"
    if listed.cls is Named or (listed.roles == _ELSEWHERE and listed.type in PLUGINS):
        reference.note(f"{listed.name!r} takes no part in profile {builder.name!r}")
    elif not builder.add(listed, 1.0 if weight is None else weight, reference, second):
        reference.problem(f"{listed.name!r} ({listed.type}) is no filter, scorer or picker")
    elif weighed is not None and weight is not None and SCORER not in listed.roles:
        weighed.note("has no effect: only scorers have weights")


def _default_profile(listing: Listing) -> Built:
    """All that is listed; what upstream runs with when nothing is."""
    builder = _Builder("default")
    second = "there is a picker already; say in schedulingProfiles which one picks"
    for listed in listing.by_name.values():
        if PROFILE_HANDLER not in listed.roles:
            builder.add(listed, 1.0, listed.value, second)
    if not listing.by_name:
        for type_, weight in _UPSTREAM_DEFAULT:
            kind = PLUGINS[type_]
            listed = Listed(
                type_, type_, listing.default(type_), kind.plugin, kind.roles, reads_prefix=kind.reads_prefix
            )
            builder.add(listed, weight, None, second)
    return builder.build(listing)


def handler_of(top: Fields, listing: Listing, profiles: Sequence[Profile]) -> ProfileHandler:
    """The listed handler, checked against the profiles, or a substitute."""
    found = listing.with_role(PROFILE_HANDLER)
    for extra in found[1:]:
        (extra.value or top.at("plugins")).problem(f"there is a profile handler already: {found[0].name!r}")
    names = [profile.name for profile in profiles]
    handler: ProfileHandler = _bound(found[0], listing) if found else _substitute(names, listing)
    message = _fault(handler, names)
    if message:
        place = (found[0].value if found else None) or top.at("schedulingProfiles")
        place.problem(message if found else f"{message}; list a profile handler among the plugins")
    return handler


def _bound(listed: Listed, listing: Listing) -> ProfileHandler:
    """The handler with the deciders that it names."""
    if listed.cls is not DisaggProfileHandler:
        handler: ProfileHandler = listed.plugin
        return handler
    disaggregated: DisaggProfileHandler = listed.plugin
    return disaggregated.bind({each.name: each.plugin for each in listing.with_role(DECIDER)})


def _substitute(profiles: Sequence[str], listing: Listing) -> ProfileHandler:
    """Without a handler of ours: the only profile, or for upstream's others the one that decodes."""
    if len(profiles) > 1 and any(listed.type in KNOWN_HANDLERS for listed in listing.by_name.values()):
        usual = next((name for name in ("decode", "default") if name in profiles), profiles[0])
        return HeaderProfileHandler(default_profile=usual)
    return SingleProfileHandler()


def _fault(handler: ProfileHandler, profiles: Sequence[str]) -> str | None:
    try:
        return handler.check(profiles)
    except Exception as error:  # noqa: BLE001 - a handler of the user's own may raise anything
        return f"{type(handler).__name__} cannot be checked: {error}"
