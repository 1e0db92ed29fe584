"""A Secret is read. Pure. Its values stand in no problem, note or log."""

import base64
import binascii
from collections.abc import Iterator, Mapping

from gateway.kube.objects import Meta, Secret
from gateway.schema.fields import Fields
from gateway.schema.paths import join


def secret(meta: Meta, top: Fields) -> Secret:
    found = dict(_decoded(top)) | dict(_plain(top))
    return Secret(meta, top.text("type"), found)


def _decoded(top: Fields) -> Iterator[tuple[str, bytes]]:
    for key, value in _members(top, "data"):
        try:
            yield key, base64.b64decode(value if isinstance(value, str) else "?", validate=True)
        except binascii.Error:
            top.problem(join("data", key), "expected base64 text")


def _plain(top: Fields) -> Iterator[tuple[str, bytes]]:
    for key, value in _members(top, "stringData"):
        if isinstance(value, str):
            yield key, value.encode()
        else:
            top.problem(join("stringData", key), "expected a string")


def _members(top: Fields, key: str) -> Iterator[tuple[str, object]]:
    written = top.raw(key)
    if isinstance(written, Mapping):
        yield from ((str(name), value) for name, value in written.items())
    elif written is not None:
        top.problem(key, "expected an object")
