"""The `schedulingProfiles` section, and the handler that chooses between profiles. Pure.

The defaulting rules are upstream's: without profiles one `default` profile gets all filters, scorers and pickers
listed; a profile without a picker gets the first listed one or max-score-picker; a single profile needs no handler.
"""

from collections.abc import Sequence
from typing import Final

from epp.config.catalogue import KNOWN_HANDLERS, Named
from epp.config.listing import Listed, Listing
from epp.scheduling.handlers import DisaggProfileHandler, HeaderProfileHandler, SingleProfileHandler
from epp.scheduling.pickers import MaxScorePicker
from epp.scheduling.plugin import Filter, Picker, Profile, ProfileHandler, Scorer, WeightedScorer
from gateway.schema.fields import Fields, fields_of
from gateway.schema.values import Value

# What upstream runs with when nothing is listed.
_UPSTREAM_DEFAULT: Final = (
    ("queue-scorer", 2.0),
    ("kv-cache-utilization-scorer", 2.0),
    ("prefix-cache-scorer", 3.0),
)


class _Builder:
    """Collects the parts of one profile."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filters: list[tuple[str, Filter]] = []
        self.scorers: list[WeightedScorer] = []
        self.picker: Picker | None = None

    def add(self, listed: Listed, weight: float, place: Value | None, second_picker: str) -> bool:
        """Give a plugin its parts in this profile; False if it has none. A second picker is a problem at its place."""
        plugin, has_part = listed.plugin, False
        if isinstance(plugin, Filter):
            self.filters.append((listed.name, plugin))
            has_part = True
        if isinstance(plugin, Scorer):
            self.scorers.append(WeightedScorer(listed.name, plugin, weight))
            has_part = True
        if isinstance(plugin, Picker):
            if self.picker is not None and place is not None:
                place.problem(second_picker)
            self.picker = self.picker or plugin
            has_part = True
        return has_part

    def build(self, listing: Listing) -> Profile:
        """The profile, with the first listed picker where it names none."""
        listed = (each.plugin for each in listing.by_name.values() if isinstance(each.plugin, Picker))
        picker = self.picker or next(listed, None) or MaxScorePicker()
        return Profile(self.name, tuple(self.filters), tuple(self.scorers), picker)


def profiles_of(top: Fields, listing: Listing) -> Sequence[Profile]:
    """The profiles written, else the default one."""
    profiles: list[Profile] = []
    for value in top.items("schedulingProfiles"):
        item = fields_of(value)
        if item is None:
            continue
        name = item.text("name", required=True)
        if any(profile.name == name for profile in profiles):
            value.problem(f"another profile is named {name!r}, too")
        elif name:
            profiles.append(_profile(name, item.items("plugins"), listing))
        item.known("plugins")
        item.done()
    return profiles or [_default_profile(listing)]


def _profile(name: str, plugins: Sequence[Value], listing: Listing) -> Profile:
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
    if isinstance(listed.plugin, Named):
        reference.note(f"{listed.name!r} takes no part in profile {builder.name!r}")
    elif not builder.add(listed, 1.0 if weight is None else weight, reference, second):
        reference.problem(f"{listed.name!r} ({listed.type}) is no filter, scorer or picker")
    elif weighed is not None and weight is not None and not isinstance(listed.plugin, Scorer):
        weighed.note("has no effect: only scorers have weights")


def _default_profile(listing: Listing) -> Profile:
    """All that is listed; what upstream runs with when nothing is."""
    builder = _Builder("default")
    second = "there is a picker already; say in schedulingProfiles which one picks"
    for listed in listing.by_name.values():
        if not isinstance(listed.plugin, ProfileHandler):
            builder.add(listed, 1.0, listed.value, second)
    if not listing.by_name:
        for type_, weight in _UPSTREAM_DEFAULT:
            builder.add(Listed(type_, type_, listing.default(type_)), weight, None, second)
    return builder.build(listing)


def handler_of(top: Fields, listing: Listing, profiles: Sequence[Profile]) -> ProfileHandler:
    """The listed handler, checked against the profiles, or a substitute."""
    found = [listed for listed in listing.by_name.values() if isinstance(listed.plugin, ProfileHandler)]
    for extra in found[1:]:
        (extra.value or top.at("plugins")).problem(f"there is a profile handler already: {found[0].name!r}")
    names = [profile.name for profile in profiles]
    handler = found[0].plugin if found else _substitute(names, listing)
    assert isinstance(handler, ProfileHandler)
    if isinstance(handler, DisaggProfileHandler):
        handler = handler.bind({name: listed.plugin for name, listed in listing.by_name.items()})
    message = _fault(handler, names)
    if message:
        place = (found[0].value if found else None) or top.at("schedulingProfiles")
        place.problem(message if found else f"{message}; list a profile handler among the plugins")
    return handler


def _substitute(profiles: Sequence[str], listing: Listing) -> ProfileHandler:
    """Without a handler of ours: the only profile, or for upstream's others the one that decodes."""
    if len(profiles) > 1 and any(listed.type in KNOWN_HANDLERS for listed in listing.by_name.values()):
        return HeaderProfileHandler(default_profile="decode" if "decode" in profiles else profiles[0])
    return SingleProfileHandler()


def _fault(handler: ProfileHandler, profiles: Sequence[str]) -> str | None:
    try:
        return handler.check(profiles)
    except Exception as error:  # noqa: BLE001 - a handler of the user's own may raise anything
        return f"{type(handler).__name__} cannot be checked: {error}"
