"""The first step of a request: everything that does not depend on endpoints. Pure.

A transport's request becomes a prompt with its pool, priority, objective, rewritten model and blocks, or a rejection.
The block size is a setting of the pool; no endpoint's state is read, so that a request may wait and lose nothing.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from epp.config import SchedulerConfig
from epp.datalayer.producers.prefix_index import chain, seed_of
from epp.domain import PoolSpec, Request
from epp.picking.objectives import priority_of, target_of
from epp.prompts import parsing
from epp.prompts.request import InferenceRequest
from epp.prompts.sessions import CONFIGURED, PREVIOUS_RESPONSE, Session
from epp.prompts.writer import BYTES_PER_TOKEN
from gateway.wire import protocol
from gateway.wire.errors import Rejection

DEFAULT_FLOW = "default-flow"  # the fairness id of requests that name none, as upstream has it


class Prepared(NamedTuple):
    """A request that may be placed at any time."""

    request: Request
    parsed: InferenceRequest
    spec: PoolSpec
    blocks: tuple[int, ...]
    block_tokens: int
    session: Session | None  # the conversation, where anything tells it; `key` is its identity
    session_key: str | None  # what it is bound by; None where the configuration binds no sessions
    rewrite: str = ""  # the InferenceModelRewrite that chose the model

    @property
    def fairness_id(self) -> str:
        """Whose requests it counts among."""
        return fairness_id_of(self.request)


def objective_of(request: Request) -> str:
    """As the request names it, empty where it names none."""
    return request.headers.get(protocol.OBJECTIVE, "")


def fairness_id_of(request: Request) -> str:
    """Whose requests it counts among."""
    return request.headers.get(protocol.FAIRNESS_ID, DEFAULT_FLOW)


def parse(request: Request, config: SchedulerConfig) -> InferenceRequest | Rejection:
    """Read the body."""
    return parsing.parse(request, is_opaque=config.is_opaque, volatile_lines=config.prefix.volatile_lines)


def prepare(
    request: Request,
    parsed: InferenceRequest,
    spec: PoolSpec,
    config: SchedulerConfig,
    random: Random,
    *,
    block_tokens: int,
    begun: Callable[[str], str | None],
) -> Prepared:
    """Add what the pool's objects say about a request that was read; rewrites are drawn by weight. `begun` gives the
    session that a stored response belongs to.
    """
    priority = priority_of(request, parsed.model, spec)
    target, rewrite = target_of(request, parsed.model, spec, random)
    if priority != parsed.priority or target != parsed.target_model:
        parsed = parsed.routed(priority, target)
    blocks, binds = blocks_of(parsed, block_tokens, config), config.binds_sessions
    session = session_of(parsed, config) if binds else parsed.named_session
    if session is not None and session.source == PREVIOUS_RESPONSE and (first := begun(parsed.stored_id or "")):
        session = Session(PREVIOUS_RESPONSE, first)
    key = session.key if binds and session is not None else None
    return Prepared(request, parsed, spec, blocks, block_tokens, session, key, rewrite)


def with_blocks(prepared: Prepared, block_tokens: int, config: SchedulerConfig) -> Prepared:
    """The same with blocks of this size: the pool's may have changed while the request waited."""
    if prepared.block_tokens == block_tokens:
        return prepared
    blocks = blocks_of(prepared.parsed, block_tokens, config)
    return prepared._replace(blocks=blocks, block_tokens=block_tokens)


def blocks_of(parsed: InferenceRequest, block_tokens: int, config: SchedulerConfig) -> tuple[int, ...]:
    """The chain of block hashes of a prompt; none where no plugin looks at matches."""
    if not config.uses_prefix or not parsed.canonical:
        return ()
    seed = seed_of(parsed.target_model, parsed.cache_salt)
    most = config.prefix.max_blocks(block_tokens)
    return chain(parsed.canonical, seed, block_tokens * BYTES_PER_TOKEN, most)


def session_of(parsed: InferenceRequest, config: SchedulerConfig) -> Session | None:
    """The conversation to bind, as one of the tenant's that a fairness id or a cache salt names.

    Where the configuration does not say which header holds its id, it is what the client sends without being asked.
    """
    producer = config.session
    if producer is None:
        found = parsed.session()
    else:
        id_ = producer.session(parsed.headers)
        found = Session(CONFIGURED, id_) if id_ else None
    if found is None:
        return None
    tenant = parsed.headers.get(protocol.FAIRNESS_ID) or parsed.cache_salt
    return found.of(tenant) if tenant else found
