"""The bill over HTTP, on the operators' port: `/usage?by=tenant,model&since=2026-11-01&until=2026-11-30`."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Final

from aiohttp import web

from epp.billing.biller import LONGEST_SPAN, UNAVAILABLE, Biller
from epp.billing.report import rows
from epp.billing.totals import FIELDS, day_of, summed
from gateway.service.clock import Clock

USUAL_DAYS: Final = 30  # that are shown where nothing is said
PATH: Final = "/usage"


def routes(biller: Biller, wall: Clock, centres: Callable[[], Mapping[str, str]]) -> list[web.RouteDef]:
    """The page. `centres` are the cost centres of tenants."""

    async def usage(request: web.Request) -> web.Response:
        by = tuple(filter(None, request.query.get("by", "tenant,model").split(",")))
        unknown = [field for field in by if field not in FIELDS]
        if unknown or len(set(by)) < len(by):
            return _bad(f"by: expected some of {', '.join(FIELDS)}, got {', '.join(by)}")
        try:
            until = date.fromisoformat(request.query.get("until", day_of(wall())))
            since = date.fromisoformat(request.query.get("since", (until - timedelta(days=USUAL_DAYS)).isoformat()))
        except ValueError as error:
            return _bad(f"expected a date such as 2026-11-28: {error}")
        if not since <= until <= since + timedelta(days=LONGEST_SPAN):
            return _bad(f"expected at most {LONGEST_SPAN} days, the first one before the last")
        try:
            lines = await biller.read(since.isoformat(), until.isoformat())
        except UNAVAILABLE as error:
            return web.Response(status=503, text=f"the bill cannot be read: {error}")
        return web.json_response({"by": by, "rows": rows(summed(lines, by, centres()), by)})

    return [web.get(PATH, usage)]


def _bad(message: str) -> web.Response:
    return web.Response(status=400, text=message)
