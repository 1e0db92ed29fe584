"""Reads a trace's file, whose format it tells by its first line. A shell, for the file.

Files may be larger than memory: lines are read until there are enough requests. A line that is broken is an error with
its place; the last one is left out where it has no end, because its writer was stopped there.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import orjson

from lab.traces import agentx, azure, jsonl, sharegpt
from lab.traces.fields import FieldError, shown
from lab.traces.trace import Trace, TracedRequest, TraceError

LINE_LIMIT: Final = 64 << 20  # bytes; a request with a million blocks has 20 MB
DOCUMENT_LIMIT: Final = 1 << 30  # bytes of a file that is one JSON array
FORMATS: Final = "a recording, Mooncake's or AgentX's JSONL, Azure's CSV, or ShareGPT's JSON"
_MARK: Final = b"\xef\xbb\xbf"  # of UTF-8, which some editors write
_HEAD: Final = 64
_Read = TypeVar("_Read")
_Line = tuple[int, bytes]
_Objects = Iterator[tuple[int, dict[str, Any]]]


def read(file: Path, most: int, pool: str | None = None) -> Trace:
    """The first `most` requests, of one pool where the file has several. `TraceError` names the line; `OSError`."""
    with file.open("rb") as opened:
        is_array = opened.read(_HEAD).removeprefix(_MARK).lstrip().startswith(b"[")
        opened.seek(0)
        if is_array:
            trace = _of_objects(file, _array(file, opened.read(DOCUMENT_LIMIT + 1)), most)
        else:
            trace = _of_lines(file, _lines(file, opened), most)
    return _settled(file, trace, most, pool)


def _lines(file: Path, opened: BinaryIO) -> Iterator[_Line]:
    number = 0
    while line := opened.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise TraceError(file, number, f"longer than {LINE_LIMIT} bytes")
        if number == 1:
            line = line.removeprefix(_MARK)
        if line.strip():
            yield number, line


def _of_lines(file: Path, lines: Iterator[_Line], most: int) -> Trace:
    first = next(lines, None)
    if first is None:
        raise TraceError(file, 1, "there is nothing in it")
    number, line = first
    if line.lstrip().startswith(b"{"):
        return _of_objects(file, _objects(file, chain([first], lines)), most)
    places = azure.columns(line.decode("latin-1"))
    if places is None:
        raise TraceError(file, number, f"this begins no trace: expected {FORMATS}")
    found = [_located(file, at, azure.request_of, each, places) for at, each in islice(lines, most + 1)]
    return Trace("Azure", tuple(found))


def _objects(file: Path, lines: Iterator[_Line]) -> _Objects:
    for number, line in lines:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not line.endswith(b"\n") and number > 1:
                return
            raise TraceError(file, number, f"not JSON: {error.msg}") from None
        if not isinstance(found, dict):
            raise TraceError(file, number, f"expected an object, got {shown(found)}")
        yield number, found


def _array(file: Path, data: bytes) -> _Objects:
    if len(data) > DOCUMENT_LIMIT:
        raise TraceError(file, 1, f"one JSON document of more than {DOCUMENT_LIMIT} bytes: give it an object a line")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise TraceError(file, error.lineno, f"not JSON: {error.msg}") from None
    for at, each in enumerate(found):
        if not isinstance(each, dict):
            raise TraceError(file, 1, f"[{at}]: expected an object, got {shown(each)}")
        yield at + 1, each


def _of_objects(file: Path, objects: _Objects, most: int) -> Trace:
    first = next(objects, None)
    if first is None:
        raise TraceError(file, 1, "there is no request in it")
    number, record = first
    every = chain([first], objects)
    if jsonl.is_record(record):
        read = [_located(file, at, jsonl.request_of, each) for at, each in islice(every, most + 1)]
        name = "recording" if "endpoint" in record else "Mooncake"
        return Trace(name, tuple(jsonl.calibrated(read)))
    for module, name, has_times in ((agentx, "AgentX", True), (sharegpt, "ShareGPT", False)):
        if module.is_record(record):
            return Trace(name, tuple(_sessions(file, every, module.requests_of, most)), has_times)
    raise TraceError(file, number, f"no request that is known: expected {FORMATS}")


def _sessions(
    file: Path, objects: _Objects, requests_of: Callable[[dict[str, Any], int], Iterator[TracedRequest]], most: int
) -> Iterator[TracedRequest]:
    """Whole sessions, until there are enough requests."""
    count = 0
    for index, (number, record) in enumerate(objects):
        if count > most:
            return
        found = _located(file, number, lambda *given: [*requests_of(*given)], record, index)
        count += len(found)
        yield from found


def _located(file: Path, number: int, read: Callable[..., _Read], *given: object) -> _Read:
    try:
        return read(*given)
    except FieldError as error:
        raise TraceError(file, number, str(error)) from None


def _settled(file: Path, trace: Trace, most: int, pool: str | None) -> Trace:
    """In order, from time 0, no more than were asked for, and of one pool."""
    requests, is_cut = trace.requests[:most], len(trace.requests) > most
    pools = sorted({each.pool for each in requests if each.pool is not None})
    if pool is not None:
        requests = tuple(each for each in requests if each.pool == pool)
    elif len(pools) > 1:
        raise TraceError(file, 1, f"requests of several pools: choose one with --pool: {', '.join(pools)}")
    if not requests:
        raise TraceError(file, 1, "there is no request in it" if pool is None else f"no request of pool {pool}")
    if trace.has_times:
        begin = min(each.at for each in requests)
        requests = tuple(sorted((replace(each, at=each.at - begin) for each in requests), key=lambda each: each.at))
    return Trace(trace.format, requests, trace.has_times, is_cut)
