"""How the model of a body becomes a header that routes match: by the body-based router, by Envoy itself, or not at all.

Pure. Where every pool of a listener is asked over HTTP, no ext_proc call is made: a script of Envoy's Lua filter lifts
the model. The script knows no adapters, so a match on a base model becomes one on all names that have it. Envoy's
`transform` filter could lift it, too, but it makes an object of every value: 50 MB of token ids take it longer than the
picker's timeout, and the script skips them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from controlplane.options import Options, PickerTransport
from controlplane.plan.entries import Entry, VirtualHost
from controlplane.plan.pickers import Picker
from gateway.kube.objects import ObjectName, RouteMatch, ValueMatch
from gateway.wire import protocol

MODEL_HEADERS = frozenset((protocol.MODEL_NAME, protocol.BASE_MODEL_NAME))


class Lift(StrEnum):
    BBR = "bbr"
    SCRIPT = "script"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Lifting:
    """What a listener does and why, and the base model of each name, for matches."""

    lift: Lift
    reason: str
    base_models: Mapping[str, str]
    sees_all: bool = False  # whether the router judges callers, so that no request may pass it by

    def match(self, wanted: RouteMatch) -> RouteMatch | None:
        """The match as this listener can make it; None where it could match nothing."""
        if self.lift is not Lift.SCRIPT:
            return wanted
        headers = []
        for header in wanted.headers:
            if header.name != protocol.BASE_MODEL_NAME:
                headers.append(header)
                continue
            names = sorted(name for name, base in self.base_models.items() if is_met(header, base))
            if not names:
                return None
            headers.append(ValueMatch(protocol.MODEL_NAME, "|".join(re.escape(name) for name in names), regex=True))
        return replace(wanted, headers=tuple(headers))


NOT_LIFTED: Final = Lifting(Lift.NONE, "it was lifted before", {})


def lifting(
    hosts: Sequence[VirtualHost],
    pickers: Mapping[ObjectName, Picker],
    base_models: Mapping[str, str],
    options: Options,
    *,
    is_counted: bool = False,
    has_tenants: bool = False,
) -> Lifting:
    """How one listener does it. `is_counted`: the model must be known before a picker is asked, for quotas. Where there
    are tenants, the router judges callers."""
    if options.bbr is not None and (has_tenants or options.router_authenticates):
        return Lifting(Lift.BBR, "the router judges callers", base_models, sees_all=True)
    pools = {pool.meta.id for host in hosts for pool in host.pools}
    by_http = bool(pools) and all(pool in pickers and pickers[pool].transport is PickerTransport.HTTP for pool in pools)
    if not by_http and options.bbr is None and not is_counted:
        return Lifting(Lift.NONE, "--no-bbr", base_models)
    if not by_http and options.bbr is None:
        return Lifting(Lift.SCRIPT, "--no-bbr, and quotas count by model", base_models)
    if not by_http:
        return Lifting(Lift.BBR, "not every pool is asked over HTTP", base_models)
    if any(by_model_header(entry) for host in hosts for entry in host.entries):
        return Lifting(Lift.SCRIPT, "every pool is asked over HTTP, and routes match on the model", base_models)
    if is_counted:
        return Lifting(Lift.SCRIPT, "every pool is asked over HTTP, and quotas count by model", base_models)
    return Lifting(Lift.NONE, "every pool is asked over HTTP, and the picker's answer names the model", base_models)


def by_model_header(entry: Entry) -> bool:
    """Whether an entry is for certain models only."""
    return any(header.name in MODEL_HEADERS for header in entry.match.headers)


def is_met(header: ValueMatch, value: str) -> bool:
    """Whether a header of this value is one that a rule wants."""
    return re.fullmatch(header.value, value) is not None if header.regex else header.value == value
