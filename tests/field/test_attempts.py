"""Envoy writes why each attempt failed, as it fails, with its pick's id; about an answered one it writes nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from gateway.wire import protocol
from tests.contract.envoy.conftest import ROUTE, Bed, MakeBed

pytestmark = pytest.mark.envoy

LIMITED = ROUTE.replace("    backendRefs:", "    timeouts: {backendRequest: 300ms}\n    backendRefs:")


@dataclass(frozen=True)
class Attempt:
    """What an entry says."""

    port: int
    status: int
    flags: tuple[str, ...]
    tags: Mapping[str, str]


async def attempts(bed: Bed) -> list[Attempt]:
    """The next entries about attempts."""
    async with asyncio.timeout(10):
        while not bed.picker.log.attempts:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    entries = [(entry.common_properties, entry.response) for entry in bed.picker.log.attempts]
    bed.picker.log.attempts.clear()
    return [
        Attempt(
            common.upstream_remote_address.socket_address.port_value,
            response.response_code.value,
            tuple(field.name for field, _ in common.response_flags.ListFields()),
            dict(common.custom_tags),
        )
        for common, response in entries
    ]


async def test_each_failed_attempt_has_its_cause_and_its_pick(make_bed: MakeBed) -> None:
    async with make_bed(route=LIMITED) as bed:
        for fault, status, expected in (
            ("reset", 200, (0, ("upstream_connection_termination",))),
            ("silent", 200, (0, ("upstream_request_timeout",))),
            ("", 503, (503, ())),
            ("", 429, (429, ())),
            ("", 500, (500, ())),
        ):
            bed.one.fault, bed.one.status = fault, status
            bed.pick(bed.one, bed.two)
            assert (await bed.ask(headers={protocol.PICK_ID: "a client's own"})).status == 200
            (entry,) = await attempts(bed)

            assert (entry.status, entry.flags) == expected
            assert entry.tags == {protocol.ATTEMPT_PICK_TAG: "pick-1", protocol.ATTEMPT_TAG: "1"}
            assert entry.port == bed.one.port
        bed.one.fault, bed.one.status = "", 200
        bed.pick(bed.dead, bed.one)
        assert (await bed.ask()).status == 200
        (refused,) = await attempts(bed)
        assert (refused.status, refused.flags) == (0, ("upstream_connection_failure",))


async def test_requests_that_are_answered_and_those_without_a_pick_write_nothing(bed: Bed) -> None:
    bed.pick(bed.one)
    assert (await bed.ask()).status == 200
    bed.orders.endpoints = None
    bed.one.status = bed.two.status = 503
    assert (await bed.ask(headers={protocol.PICK_ID: "a client's own"})).status == 503
    await asyncio.sleep(0.3)

    assert bed.picker.log.attempts == []
