"""The file that says which adapters servers shall have: `vLLMLoRAConfig`, bare or in a ConfigMap. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.kube.reading.parts import MAX_PORT
from gateway.schema.fields import Fields, fields_of
from gateway.schema.problems import Findings
from gateway.schema.yamltext import one

ROOT: Final = "vLLMLoRAConfig"
DEFAULT_HOST: Final = "localhost"
DEFAULT_PORT: Final = 8000
MAX_ADAPTERS: Final = 10_000  # of one file; a hundred times what a server holds


@dataclass(frozen=True, slots=True)
class Adapter:
    """`base_model` is empty where any server will do."""

    id: str
    source: str
    base_model: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """Adapters that shall be there, and names that shall not; a name in both shall not. `host` and `port` are of the
    one server that the file names."""

    host: str
    port: int
    exist: tuple[Adapter, ...]
    absent: frozenset[str]


class InvalidConfigError(Exception):
    """A file that cannot be used; the message has a line for each reason."""


def config_of(text: str, file: str) -> Config:
    """Read it, from a ConfigMap or as a ConfigMap is mounted."""
    findings = Findings()
    document = one(text, file, findings)
    top = fields_of(document) if document is not None else None
    found = _below(top, file, findings) if top is not None else None
    if findings.problems or found is None:
        reasons = [str(problem) for problem in findings.problems] or [f"{file}: no {ROOT} in it"]
        raise InvalidConfigError("\n".join(reasons))
    return found


def _below(top: Fields, file: str, findings: Findings) -> Config | None:
    if top.text("kind") == "ConfigMap":
        for key, text in top.strings("data").items():
            inner = one(text, f"{file}: data.{key}", findings) if ROOT in text else None
            fields = fields_of(inner) if inner is not None else None
            if fields is not None:
                return _below(fields, file, findings)
        return None
    body = top.child(ROOT)
    return _config(body) if body is not None else None


def _config(body: Fields) -> Config:
    body.known("name")
    base = body.text("defaultBaseModel")
    exist = {adapter.id: adapter for adapter in _adapters(body, "ensureExist", base)}
    absent = frozenset(adapter.id for adapter in _adapters(body, "ensureNotExist", base))
    config = Config(
        host=body.text("host", DEFAULT_HOST),
        port=body.integer("port", 1, MAX_PORT, DEFAULT_PORT) or DEFAULT_PORT,
        exist=tuple(adapter for name, adapter in exist.items() if name not in absent),
        absent=absent,
    )
    body.done()
    return config


def _adapters(body: Fields, key: str, base: str) -> Iterator[Adapter]:
    part = body.child(key)
    for item in part.children("models", MAX_ADAPTERS) if part is not None else ():
        source = item.text("source", required=key == "ensureExist")
        yield Adapter(item.text("id", required=True), source, item.text("base-model") or base)
        item.done()
    if part is not None:
        part.done()
