"""The outbox: every numbered message stays on this machine's disk until newer ones need its room.

A ring of segment files of lines "checksum epoch boot seq kind payload". A message is written and synced before it is
sent, so a number that left the machine is never used again, whatever kills the agent. Nothing is removed when the
broker acknowledges it: the collector may still ask for it (`find`). The bound removes the oldest segment; what had not
been acknowledged by then is counted in `dropped`. Memory does not grow with the number of messages.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Range
from caretaker_contract.topics import Kind

SEGMENTS = 16
"""The bound is divided into so many files: removing the oldest loses a sixteenth of what is kept."""
MAX_MISSING = 50
"""As many ranges fit into one outcome (contract); the collector asks again for the rest."""


class Cursor(NamedTuple):
    """A place in the outbox: everything before it is acknowledged, or sent, as its owner says."""

    segment: int = 0
    offset: int = 0


class Record(NamedTuple):
    """One message as it was written; `end` is the cursor behind it."""

    epoch: str
    boot: int
    seq: int
    kind: Kind
    payload: bytes
    end: Cursor


class Outbox:
    """The ring in `folder`, at most `max_bytes` long. Raises Unavailable when the disk refuses.

    `acked` is the owner's to advance and to keep; the outbox reads it only to know what it drops unsent.
    """

    def __init__(self, folder: Path, max_bytes: int, acked: Cursor = Cursor()) -> None:  # noqa: B008 (immutable)
        self.acked = acked
        self.dropped = 0
        self.damaged = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = max(4096, max_bytes // SEGMENTS)
        self._sizes: dict[int, int] = {}
        self._last: dict[tuple[str, int], int] = {}
        self._fd = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise Unavailable(f"{folder}: {error.strerror}") from None

    def last(self, epoch: str, boot: int) -> int:
        """The highest number kept of that boot, 0 when there is none."""
        return self._last.get((epoch, boot), 0)

    def append(self, epoch: str, boot: int, seq: int, kind: Kind, payload: bytes) -> None:
        """Keep a message for good. When this returns, kill -9 and a power cut no longer lose it."""
        body = b"%s %d %d %s %s" % (epoch.encode(), boot, seq, kind.value.encode(), payload)
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        try:
            self._make_room(len(line))
            self._write(line)
        except OSError as error:
            raise Unavailable(f"{self._folder}: {error.strerror}") from None
        self._last[epoch, boot] = max(seq, self._last.get((epoch, boot), 0))

    def read(self, cursor: Cursor) -> Iterator[Record]:
        """Everything from `cursor` on, oldest first; what is no longer kept or was damaged is left out."""
        for index in sorted(self._sizes):
            if index >= cursor.segment:
                yield from self._scan(index, cursor.offset if index == cursor.segment else 0)

    def pending(self, cursor: Cursor) -> int:
        """Bytes kept from `cursor` on."""
        return sum(
            size - (cursor.offset if index == cursor.segment else 0)
            for index, size in self._sizes.items()
            if index >= cursor.segment
        )

    def find(self, ranges: list[Range]) -> Iterator[Record]:
        """The kept messages among `ranges`, oldest first, read while they are asked for."""
        for record in self.read(Cursor()):
            if any(_within(record, wanted) for wanted in ranges):
                yield record

    def missing(self, ranges: list[Range]) -> list[Range]:
        """The numbers of `ranges` that are not kept any more (the first 50 gaps)."""
        gaps: list[Range] = []
        expected = [wanted.first for wanted in ranges]
        for record in self.find(ranges):
            for index, wanted in enumerate(ranges):
                if _within(record, wanted):
                    if record.seq > expected[index]:
                        gaps.append(Range(wanted.epoch, wanted.boot, expected[index], record.seq - 1))
                    expected[index] = max(expected[index], record.seq + 1)
        gaps += [
            Range(wanted.epoch, wanted.boot, first, wanted.last)
            for wanted, first in zip(ranges, expected, strict=True)
            if first <= wanted.last
        ]
        return gaps[:MAX_MISSING]

    def close(self) -> None:
        """Close the file; the outbox must not be used after."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:08d}.log"

    def _open(self) -> None:
        for path in sorted(self._folder.glob("????????.log")):
            if path.stem.isdigit():
                self._sizes[int(path.stem)] = path.stat().st_size
        for index in list(self._sizes):
            end = 0
            for record in self._scan(index, 0):
                end = record.end.offset
                self._last[record.epoch, record.boot] = max(record.seq, self._last.get((record.epoch, record.boot), 0))
            if index == max(self._sizes) and end < self._sizes[index]:
                # The write was cut off, so it was never sent: take it away, else the next line would join it.
                os.truncate(self._path(index), end)
                self._sizes[index] = end
        newest = max(self._sizes, default=1)
        # A cursor beyond what is kept would hide new messages: after it was cut off, number files from there on.
        self._open_segment(max(newest, self.acked.segment))
        if self.acked.segment == newest and self.acked.offset > self._sizes[newest]:
            self.acked = Cursor(newest, self._sizes[newest])

    def _open_segment(self, index: int) -> None:
        self.close()
        self._fd = os.open(self._path(index), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._sizes[index] = os.fstat(self._fd).st_size
        self._newest = index
        if hasattr(os, "O_DIRECTORY"):  # the file's name has to survive a power cut too
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _write(self, line: bytes) -> None:
        size = self._sizes[self._newest]
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(0, "the disk took only part of a message")
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        self._sizes[self._newest] = size + len(line)

    def _make_room(self, size: int) -> None:
        if self._sizes[self._newest] and self._sizes[self._newest] + size > self._segment_bytes:
            self._open_segment(self._newest + 1)
        while len(self._sizes) > 1 and sum(self._sizes.values()) + size > self._max_bytes:
            self._drop(min(self._sizes))

    def _drop(self, index: int) -> None:
        if index >= self.acked.segment:
            offset = self.acked.offset if index == self.acked.segment else 0
            self.dropped += sum(1 for _ in self._scan(index, offset))
            self.acked = Cursor(index + 1, 0)
        self._path(index).unlink(missing_ok=True)
        del self._sizes[index]

    def _scan(self, index: int, offset: int) -> Iterator[Record]:
        try:
            data = self._path(index).open("rb")
        except FileNotFoundError:  # removed by the bound while a reader was on its way
            return
        with data:
            data.seek(offset)
            for line in data:
                offset += len(line)
                record = _parse(line, Cursor(index, offset))
                if record is not None:
                    yield record
                else:
                    self.damaged += 1


def _within(record: Record, wanted: Range) -> bool:
    return record.boot == wanted.boot and record.epoch == wanted.epoch and wanted.first <= record.seq <= wanted.last


def _parse(line: bytes, end: Cursor) -> Record | None:
    """The record of a line, None when it is cut off or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        checksum, body = line[:-1].split(b" ", 1)
        if int(checksum, 16) != zlib.crc32(body):
            return None
        epoch, boot, seq, kind, payload = body.split(b" ", 4)
        return Record(epoch.decode(), int(boot), int(seq), Kind(kind.decode()), payload, end)
    except ValueError:
        return None
