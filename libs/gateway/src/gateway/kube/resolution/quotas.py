"""The quotas of all objects, in a fixed order. Pure."""

from collections.abc import Mapping

from gateway.kube.objects import AccessPolicy, Manifests, ObjectName
from gateway.quotas.rules import Rule


def quota_rules(manifests: Manifests) -> tuple[Rule, ...]:
    """Those of ConfigMaps, then those of policies that are served whole and that no older one overrules."""
    overruled = overruled_policies(manifests)
    return (
        *(rule for _, found in sorted(manifests.config_maps.items()) for rule in found.quotas),
        *(
            rule
            for name, found in sorted(manifests.policies.items())
            if not found.unserved and name not in overruled
            for rule in found.quotas or ()
        ),
    )


def overruled_policies(manifests: Manifests) -> Mapping[ObjectName, AccessPolicy]:
    """Policies of quotas with a target that an older one has, and that one. A target has one policy."""
    owners: dict[tuple[str, str], AccessPolicy] = {}
    found: dict[ObjectName, AccessPolicy] = {}
    policies = [policy for policy in manifests.policies.values() if policy.quotas is not None]
    for policy in sorted(policies, key=lambda each: (each.meta.created or "~", each.meta.id)):
        targets = [(policy.meta.id.namespace, target.name) for target in policy.targets]
        older = next((owners[target] for target in targets if target in owners), None)
        if older is not None:
            found[policy.own_name] = older
        else:
            owners.update(dict.fromkeys(targets, policy))
    return found
