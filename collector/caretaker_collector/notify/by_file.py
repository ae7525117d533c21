"""Appends each message to a file, one JSON line each: for trying things out, and for whatever reads files."""

import asyncio
import os
from pathlib import Path

import msgspec

from caretaker_collector.notify.wording import lines, one_line
from caretaker_contract.errors import Unavailable
from caretaker_rules.alert_settings import Channel
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident


class ByFile:
    """The file of one channel."""

    def __init__(self, channel: Channel) -> None:
        self._path = Path(channel.path or "")

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """Append a line and see it onto the disk. Unavailable when it cannot be written."""
        line = {
            "id": telling.id,
            "made_ms": telling.made_ms,
            "incident": incident.number if incident else None,
            "what": telling.what,
            "severity": telling.severity,
            "title": one_line(telling.title),
            "body": lines(telling.body),
        }
        try:
            await asyncio.to_thread(_append, self._path, msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from None
        return "written"

    async def close(self) -> None:
        """Nothing is kept open."""


def _append(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
