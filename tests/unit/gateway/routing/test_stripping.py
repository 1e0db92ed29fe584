"""The router takes volatile lines out of bodies, for the models that an operator names."""

import orjson
import pytest

from gateway.routing.catalogue import PluginError, Reader
from gateway.routing.chain import Chain, Result
from gateway.routing.plugin import Named, Note
from gateway.routing.request import RoutedRequest

BILLING = "x-anthropic-billing-header: cc_version=2.1; cch=0a1b2;"
BASES = {"adapter": "qwen"}


class Counts:
    def noted(self, note: Note) -> None:
        raise AssertionError(note)

    def plugin_took(self, plugin: Named, seconds: float) -> None:
        pass

    def plugin_failed(self, name: str, error: str) -> None:
        raise AssertionError(error)


def result(body: bytes, *parameters: str, encoding: str = "") -> Result:
    """What plugins with these parameters make of a body."""
    written = [f"strip-volatile-lines:{number}:{each}" for number, each in enumerate(parameters)]
    headers = {"content-encoding": encoding} if encoding else {}
    run = Chain(Reader().read(written), Counts()).run(RoutedRequest(headers, body, orjson.loads(body), BASES))
    with pytest.raises(StopIteration) as ended:
        next(run)
    found = ended.value.value
    assert isinstance(found, Result)
    return found


def request(model: str = "qwen", text: str = BILLING + "\nYou help.") -> bytes:
    return b'{"model": "%b",  "system": %b}' % (model.encode(), orjson.dumps(text))


def test_the_billing_line_leaves_and_every_other_byte_stays() -> None:
    assert result(request(), "{}").body == request(text="You help.")


def test_a_body_without_such_lines_stays_the_client_s() -> None:
    assert result(request(text="You help."), "{}").body is None


@pytest.mark.parametrize(("model", "leaves"), [("qwen", True), ("adapter", True), ("llama", False)])
def test_a_pool_is_known_by_its_models_and_base_models(model: str, leaves: bool) -> None:
    assert (result(request(model), '{"models": ["qwen"]}').body is not None) is leaves


def test_each_pool_has_lines_of_its_own_beside_the_billing_line() -> None:
    parameters = (
        '{"volatileLines": ["Date:"], "models": ["qwen"]}',
        '{"volatileLines": ["Time:"], "models": ["llama"]}',
    )
    text = f"{BILLING}\nDate: 1\nTime: 2"
    assert result(request("qwen", text), *parameters).body == request("qwen", "Time: 2")
    assert result(request("llama", text), *parameters).body == request("llama", "Date: 1\n")


def test_plugins_work_one_after_the_other() -> None:
    found = result(request(text="Date: 1\nTime: 2\nx"), '{"volatileLines": ["Date:"]}', '{"volatileLines": ["Time:"]}')
    assert found.body == request(text="x")


def test_a_compressed_body_goes_on_as_it_came() -> None:
    assert result(request(), "{}", encoding="gzip").body is None


@pytest.mark.parametrize(
    ("parameters", "word"),
    [('{"volatileLines": ["ab"]}', "3 to 200"), ('{"volatileLines": "Date:"}', "list"), ('{"lines": []}', "lines")],
)
def test_a_mistake_is_named(parameters: str, word: str) -> None:
    with pytest.raises(PluginError) as refused:
        Reader().read([f"strip-volatile-lines:x:{parameters}"])
    assert word in str(refused.value.problems)


def test_a_list_of_lines_is_bounded() -> None:
    lines = orjson.dumps({"volatileLines": [f"line {number}" for number in range(33)]}).decode()
    with pytest.raises(PluginError):
        Reader().read([f"strip-volatile-lines:x:{lines}"])
