"""Structured logs: one line per event, JSON or for a terminal.

A call gives a short constant sentence and fields (`log.info("endpoint joined", pool=pool, endpoint=id)`); never a
body, never a client's header. At the default level no request writes a line. `configure` is called once, by a
service's composition root.
"""

import logging
import sys

import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure(service: str, level: str = "info", *, console: bool | None = None) -> None:
    """Send all logs to stderr: for people when it is a terminal (or `console` says so), else one JSON object a line."""
    structlog.reset_defaults()
    for_people = sys.stderr.isatty() if console is None else console
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if for_people else structlog.processors.JSONRenderer(sort_keys=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("event"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one module; bind nothing that a client chose."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger
