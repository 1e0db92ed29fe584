"""Which journal a picker shares by: Redis where there is one, the other workers of its host, or none."""

import secrets
from dataclasses import dataclass, field

from epp.sharing.journal import Journal, Knowledge
from epp.sharing.local_journal import LocalJournal
from epp.sharing.metrics import SharingMetrics
from epp.sharing.redis_address import Address, Password
from gateway.service.worker import Worker


@dataclass(frozen=True, slots=True)
class Link:
    """What there is to share by. Workers that have a Redis share by it, since other hosts do."""

    redis: Address | None = None
    password: Password | None = field(default=None, repr=False)
    worker: Worker | None = None


def opened(link: Link, replica: str, metrics: SharingMetrics, knowledge: Knowledge) -> Journal | None:
    """The journal; None of a picker that is alone."""
    if link.redis is not None:
        from epp.sharing.redis_journal import RedisJournal  # its client takes long to load

        return RedisJournal(link.redis, f"{replica}-{secrets.token_hex(4)}", metrics, knowledge, link.password)
    if link.worker is not None:
        return LocalJournal(link.worker, metrics, knowledge)
    return None
