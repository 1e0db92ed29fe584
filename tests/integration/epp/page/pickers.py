"""A picker with one pool and some decisions, for the tests of its page."""

from random import Random

import orjson

from epp.config import default_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY

POOL = PoolId("default/qwen")
SCRIPT = "<img src=x onerror=document.title='broken'>"  # a client's words


def picker(endpoints: int = 3) -> Picker:
    """All endpoints scraped."""
    made = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver(), explains=True)
    found = tuple(
        Endpoint(EndpointId(f"10.0.0.{at}:8000"), f"10.0.0.{at}", 8000, f"qwen-{at}") for at in range(endpoints)
    )
    made.replace_pools({POOL: PoolSpec(POOL, found)}, 0.0)
    for at, endpoint in enumerate(found):
        made.scraped(POOL, endpoint.id, EngineMetrics(at, 2 * at, 0.1 * at), 0.5)
    return made


def decide(made: Picker, request_id: str, model: str, now: float) -> None:
    """One decision, or a refusal where the model is no name."""
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "a secret prompt"}]})
    headers = {"content-type": "application/json", "x-request-id": request_id}
    made.submit(Request(POOL, "POST", "/v1/chat/completions", headers, body), NOBODY, now)
