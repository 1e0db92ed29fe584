"""Calls of plugins, which may be anybody's: one that raises costs no request its endpoint. Pure."""

from collections.abc import Callable
from traceback import format_exception_only, walk_tb
from typing import TypeVar

from epp.scheduling.plugin import Trace

Answer = TypeVar("Answer")
Otherwise = TypeVar("Otherwise")


def contained(trace: Trace, plugin: str, call: Callable[[], Answer], *, otherwise: Otherwise) -> Answer | Otherwise:
    """What a call of a plugin answers; `otherwise` if it raises, which the trace notes under the plugin's name."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - nothing is known of what somebody's plugin raises
        trace.failed(plugin, in_words(error))
        return otherwise


def in_words(error: Exception) -> str:
    """What was raised, and where; also for an error that cannot put itself into words."""
    words = " ".join("".join(format_exception_only(error)).split())
    for frame, line in walk_tb(error.__traceback__):
        place = f"{frame.f_code.co_filename}:{line}"
    return f"{words} ({place})"
