"""The guard in front of the picker, for either transport."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from epp.app.guarded import GuardedPicker
from epp.domain import EndpointId, Outcome, Pick, PickId, PoolId, Request, Ticket, Verdict, Waiter
from epp.testing import NOBODY
from gateway.routing.catalogue import Reader
from gateway.wire.errors import Rejection

PICK = Pick(PickId("r"), PoolId("a/b"), (EndpointId("10.0.0.1:80"),))
DENY = '"deny": [{"name": "secret", "pattern": "(?i)password"}]'
FORM = "multipart/form-data; boundary=x"


@dataclass
class Inner:
    events: list[Any] = field(default_factory=list)

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        return PICK

    def cancel(self, ticket: Ticket, now: float) -> None: ...

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None: ...

    def guarded(self, reason: str, action: str) -> None:
        self.events.append((reason, action))


def ask(parameters: str, body: bytes, content_type: str = "application/json", **own: Any) -> tuple[Any, Inner]:
    inner = Inner()
    (named,) = Reader(**own).read([f"guard:g:{{{parameters}}}"])
    picker = GuardedPicker(inner, named.plugin, inner)  # type: ignore[arg-type]
    request = Request(None, "POST", "/v1/completions", {"content-type": content_type}, body)
    return picker.submit(request, NOBODY, 0.0), inner


def test_what_matches_is_refused_before_anything_is_decided() -> None:
    verdict, inner = ask(DENY, b'{"prompt": "my PASSWORD is"}')
    assert isinstance(verdict, Rejection)
    assert (verdict.status, verdict.code) == (400, "request_refused")
    assert inner.events == [("secret", "refused")]


def test_a_form_is_judged_too() -> None:
    form = b'--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nthe password\r\n--x--\r\n'
    assert isinstance(ask(DENY, form, FORM)[0], Rejection)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"prompt": "hello"}', b"[" * 2_000_000])
def test_everything_else_is_the_pickers(body: bytes) -> None:
    assert ask(DENY, body) == (PICK, Inner())


def test_in_shadow_mode_nothing_is_refused() -> None:
    verdict, inner = ask(f'{DENY}, "shadow": true', b'{"prompt": "password"}')
    assert (verdict, inner.events) == (PICK, [("secret", "shadow")])


def test_a_classifier_that_raises_leaves_the_patterns_in_force() -> None:
    class Broken:
        def harm(self, text: str) -> float:
            raise RuntimeError

    own: Any = {"classifiers": {"broken": Broken}}
    written = f'{DENY}, "classifier": "broken"'
    verdict, inner = ask(written, orjson.dumps({"prompt": ["hello", "password"]}), **own)
    assert isinstance(verdict, Rejection)
    assert inner.events == [("classifier", "failed"), ("secret", "refused")]
