"""Names and bounds of what is kept in Redis. Pure.

One stream for each pool, so that who follows a pool reads nothing of others. The braces keep the keys of one pool on
one node of a cluster.
"""

from typing import Final

from epp.domain import PoolId

# The releases before this one wrote events of all pools to one stream; it is followed like a pool. While one of them
# writes there, this one does, too; such messages bear a mark, and are for those alone.
EARLIER: Final = PoolId("*earlier")
_EARLIER_STREAM: Final = "pointsman:shared:1"
# The fields of a message: who wrote it, and events; or the name of a snapshot that is wanted of anybody, or that is
# there. Releases that know nothing of snapshots see no events in such a message.
SENDER, EVENTS, WANTED, OFFERED = b"r", b"e", b"w", b"o"
COPY: Final = b"c"
END: Final = b"end"  # of the last message of a snapshot
# Messages kept of a pool, about; with batches of a few kilobytes some dozen MB.
STREAM_LENGTH: Final = 20_000
# What no replica writes to is gone after this time.
KEEP_SECONDS: Final = 3600
BEGINNING: Final = "0-0"
# A snapshot is a stream of its own, for as long as it takes to read it. Whoever writes its first message writes it all.
SNAPSHOT_SECONDS: Final = 60
CLAIM: Final = "1-1"


def stream_of(pool: PoolId) -> str:
    """The key of a pool's stream; pools have a slash in their names, so none is called `*`."""
    if pool == EARLIER:
        return _EARLIER_STREAM
    return f"pointsman:2:{{{pool or '*'}}}:events"


def snapshot_of(pool: PoolId, name: str) -> str:
    """The key of one snapshot of a pool."""
    return f"pointsman:2:{{{pool or '*'}}}:snapshot:{name}"


def order_of(position: str) -> tuple[int, int]:
    """What compares two places in a stream."""
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence or 0)
