"""A switch of the configuration takes volatile lines out of the forwarded body."""

from random import Random

import orjson

from epp.config import parse_config
from epp.config.spellings import LLM_D
from epp.domain import Endpoint, EndpointId, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from epp.transports.http.answers import objection

BILLING = "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; cch=0a1b2;"
CONFIG = f"""\
apiVersion: {LLM_D}
kind: EndpointPickerConfig
plugins:
- {{type: queue-scorer}}
- {{type: approx-prefix-cache-producer, parameters: {{stripVolatileLines: SWITCH}}}}
schedulingProfiles: [{{name: a, plugins: [{{pluginRef: queue-scorer}}]}}]
"""


def pick(switch: str) -> Pick:
    made = Picker(
        parse_config(CONFIG.replace("SWITCH", switch), "x"), random=Random(1), replica="r", observer=NullObserver()
    )
    pool = PoolId("a/b")
    made.replace_pools({pool: PoolSpec(pool, (Endpoint(EndpointId("10.0.0.1:8000"), "10.0.0.1", 8000, "e"),))}, 0.0)
    system, messages = [{"type": "text", "text": BILLING}], [{"role": "user", "content": "hi"}]
    body = orjson.dumps({"model": "m", "system": system, "messages": messages})
    verdict = made.submit(Request(pool, "POST", "/v1/messages", {}, body), NOBODY, 1.0)
    assert isinstance(verdict, Pick)
    return verdict


def test_a_switch_of_the_configuration_strips_the_forwarded_body() -> None:
    assert pick("false").body is None
    body = pick("true").body
    assert body is not None
    assert orjson.loads(body)["system"] == [{"type": "text", "text": ""}]


def test_the_http_transport_which_cannot_change_a_body_serves_such_a_request_as_it_came() -> None:
    assert objection(pick("true"), wants_model_headers=False) is None
