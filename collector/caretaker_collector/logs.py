"""Logs go to standard error: one line each, with journald's priorities when systemd reads them. No files of our own."""

import os
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def _journald(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["event"] = f"<{_PRIORITIES.get(str(event.pop('level', 'info')), 6)}>{event['event']}"
    return event


def set_up(quiet: bool = False) -> None:
    """Configure structlog for a command. `quiet`: warnings and worse only."""
    under_systemd = "JOURNAL_STREAM" in os.environ
    processors: list[structlog.typing.Processor] = [structlog.processors.add_log_level]
    if under_systemd:
        processors += [_journald, structlog.processors.KeyValueRenderer(key_order=["event"])]
    else:
        processors += [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(30 if quiet else 20),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
