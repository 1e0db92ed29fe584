"""The `retry` and `timeouts` of a rule become values. Pure; `retry` is that of GEP-1731 in the experimental channel."""

from gateway.kube.objects import Retry, Timeouts
from gateway.schema.fields import Fields

LEAST_CODE, MOST_CODE = 400, 599
MOST_ATTEMPTS = 1000  # any number is valid; how many a list of endpoints has bounds it


def timeouts_of(item: Fields) -> Timeouts:
    timeouts = Timeouts(item.duration("request"), item.duration("backendRequest"))
    item.done()
    if timeouts.request and timeouts.backend_request and timeouts.backend_request > timeouts.request:
        item.problem("backendRequest", "backendRequest timeout cannot be longer than request timeout")
    return timeouts


def retry_of(item: Fields) -> Retry:
    codes = (value.integer(LEAST_CODE, MOST_CODE) for value in item.items("codes"))
    retry = Retry(
        codes=tuple(sorted({code for code in codes if code is not None})),
        attempts=item.integer("attempts", 0, MOST_ATTEMPTS),
        backoff=item.duration("backoff"),
    )
    item.done()
    return retry
