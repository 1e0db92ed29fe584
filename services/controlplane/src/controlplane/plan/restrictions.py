"""What policies that restrict access target, and what becomes of requests for it. Pure.

The demands of a SecurityPolicy are checked by Envoy. Where they cannot be, and with all other policies, nothing that is
targeted may pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.options import Options
from controlplane.plan.protections import FaultyCredentialError, Protection, protection
from controlplane.plan.quotas import NO_SERVICE, is_enforced, quota_condition
from controlplane.plan.targets import SECTIONED, SECURITY_POLICY, Target, is_here, targeted
from controlplane.status.conditions import Condition, PolicyStatus, met, unmet
from gateway.kube.objects import AccessPolicy, Manifests, ObjectName


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Why each object may not be reached, and what is checked before it is. One without either may be reached."""

    closed: Mapping[Target, str] = field(default_factory=dict)
    protections: Mapping[Target, Protection] = field(default_factory=dict)

    def of(self, kind: str, name: ObjectName, section: str = "") -> str:
        """Why an object, or a section of it, may not be reached; empty where it may."""
        return self.closed.get((kind, name, "")) or (self.closed.get((kind, name, section), "") if section else "")

    def protection(self, gateway: ObjectName, listener: str, route: ObjectName, rule: str) -> Protection | None:
        """What is checked of requests for a rule of a route: by the policy nearest to it, and by no other."""
        near = (("HTTPRoute", route, rule), ("HTTPRoute", route, ""), ("Gateway", gateway, listener))
        found = (self.protections.get(key) for key in (*near, ("Gateway", gateway, "")))
        return next((each for each in found if each is not None), None)


def restrictions(manifests: Manifests, options: Options) -> tuple[Restrictions, tuple[PolicyStatus, ...]]:
    """What is targeted, and the status of every policy. Kinds that are handled elsewhere restrict nothing here, nor do
    quotas that are enforced."""
    closed: dict[Target, str] = {}
    protections: dict[Target, Protection] = {}
    first: dict[tuple[str, Target], AccessPolicy] = {}
    statuses: dict[ObjectName, Condition] = {}
    for policy in sorted(manifests.policies.values(), key=_age):
        if policy.kind in options.handled_elsewhere:
            statuses[policy.own_name] = met("Accepted", "Accepted", f"{policy.kind} is handled elsewhere")
            continue
        if is_enforced(policy, options):
            statuses[policy.own_name] = quota_condition(policy, manifests)
            continue
        keys = tuple(dict.fromkeys(targeted(policy, manifests)))
        if policy.kind == SECURITY_POLICY:
            own = tuple(key for key in keys if first.setdefault((policy.kind, key), policy) is policy)
            lost = [(key, first[policy.kind, key]) for key in keys if key not in own]
        else:
            own, lost = keys, []
        found = _enforced(policy, own, manifests) if own else f"{policy.kind} is not supported"
        if isinstance(found, Protection):
            protections.update(dict.fromkeys(own, found))
        elif policy.rules is None or policy.rules.restricts:
            closed.update(dict.fromkeys(own, f"{policy} restricts access: {found}"))
        statuses[policy.own_name] = _accepted(found, [key for key in own if is_here(key, manifests)], lost)
        for key, winner in lost:
            statuses[winner.own_name] = _with_loser(statuses[winner.own_name], key, policy)
    return Restrictions(closed, protections), tuple(
        PolicyStatus(policy.kind, policy.meta.id, statuses[name], policy.meta.generation, policy.meta.api_version)
        for name, policy in sorted(manifests.policies.items())
    )


def _age(policy: AccessPolicy) -> tuple[str, ObjectName]:
    """The oldest first; without a time stamp it is younger than all that have one."""
    return policy.meta.created or "~", policy.own_name


def _enforced(policy: AccessPolicy, keys: Sequence[Target], manifests: Manifests) -> Protection | str:
    """What Envoy checks for a policy, or why it cannot."""
    if policy.kind != SECURITY_POLICY:
        return policy.unserved or (NO_SERVICE if policy.quotas else f"{policy.kind} is not supported")
    if policy.rules is None:
        return "its specification has a problem"
    if policy.rules.unsupported:
        return f"{', '.join(policy.rules.unsupported)} of {policy.kind} is not supported"
    backend = next((kind for kind, _, _ in keys if kind not in SECTIONED), "")
    if backend:
        return f"{policy.kind} is not supported on {backend}, only on {', '.join(SECTIONED)} and AIGatewayRoute"
    try:
        return protection(policy, policy.rules, manifests)
    except FaultyCredentialError as fault:
        return str(fault)


def _accepted(
    found: Protection | str, keys: Sequence[Target], lost: Sequence[tuple[Target, AccessPolicy]]
) -> Condition:
    conflicts = "; ".join(f"{_shown(key)} has the older {winner}, which counts" for key, winner in lost)
    if not keys and lost:
        return unmet("Accepted", "Conflicted", conflicts)
    if not keys:
        return unmet("Accepted", "TargetNotFound", "it targets nothing that is here")
    named = ", ".join(map(_shown, keys))
    if isinstance(found, str):
        return unmet("Accepted", "Invalid", f"{found}; requests for {named} are answered with 500")
    return met("Accepted", "Accepted", "; ".join(filter(None, (f"enforced for {named}", conflicts))))


def _with_loser(condition: Condition, key: Target, loser: AccessPolicy) -> Condition:
    message = f"{condition.message}; {_shown(key)} is also targeted by the younger {loser}, which does not count"
    return replace(condition, message=message)


def _shown(key: Target) -> str:
    kind, name, section = key
    return f"{kind} {name}{section and f' section {section}'}"
