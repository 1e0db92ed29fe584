"""Calls of plugins, which may be anybody's: one that raises costs no request its endpoint. Pure."""

from collections.abc import Callable
from traceback import format_exception_only, walk_tb
from typing import ParamSpec, TypeVar

from epp.scheduling.plugin import Trace

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")
Otherwise = TypeVar("Otherwise")


def contained(
    trace: Trace, plugin: str, otherwise: Otherwise, ask: Callable[Parameters, Answer],
    *args: Parameters.args, **kwargs: Parameters.kwargs,
) -> Answer | Otherwise:  # fmt: skip
    """What the plugin answers; `otherwise` where it raises, of which the trace is told."""
    try:
        return ask(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - nothing is known of what somebody's plugin raises
        trace.failed(plugin, in_words(error))
        return otherwise


def in_words(error: Exception) -> str:
    """What was raised, and where; also for an error that cannot put itself into words."""
    words = " ".join("".join(format_exception_only(error)).split())
    for frame, line in walk_tb(error.__traceback__):
        place = f"{frame.f_code.co_filename}:{line}"
    return f"{words} ({place})"
