"""The embedded store: one SQLite file, one table for each measurement, made from the table of metrics.

- **Durable when `write()` returns** (WAL with synchronous=FULL: one flush for each call). The collector saves its
  journal position in another file after `write()`; were this file allowed to lag behind (synchronous=NORMAL), a power
  cut could take points whose position is already saved, and nobody would ever write them again.
- **Keyed by time first**, WITHOUT ROWID: new points go to the end of the tree. Measured: 178,000 rows a second, and
  31,000 with the device first. The price: reading one device reads the whole span of time.
- **Many rows in one statement.** Python's sqlite3 lets go of the interpreter's lock for every row of `executemany`, and
  beside a busy event loop a thread gets it back only after the switch interval (5 ms). Measured beside a thread that is
  always busy: executemany 800 rows a second, 1,000 rows to a statement 57,000; alone both about 190,000. Reading lets
  go for every row too, so a page of rows is read as one JSON text.
- A rewrite of a point replaces the fields that it gives and leaves the others, as InfluxDB does.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from caretaker_collector.stores.points import check_sums, fault_of, shape_of, window_ns
from caretaker_collector.stores.worker import Worker
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import MEASUREMENTS, TAGS, FieldType, FieldValue, Metric, Point

_MAX_PARAMETERS: Final = 32_766  # SQLite's own default, SQLITE_MAX_VARIABLE_NUMBER
PAGE: Final = 2_000
"""Rows that are read in one step."""
_COLUMN_TYPES: Final[dict[FieldType, str]] = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER", "str": "TEXT"}
_KEY: Final = ("time_ns", *TAGS)
T = TypeVar("T")


class SqliteStore:
    """Points in the SQLite file `path`, whose folder must exist. Other processes may read meanwhile.

    `busy_s`: how long to wait for another process that writes (a person's sqlite3, a backup) before Unavailable.
    """

    def __init__(self, path: Path, busy_s: float = 5.0) -> None:
        self._path = path
        self._tables = {name: _Table(name, metrics) for name, metrics in MEASUREMENTS.items()}
        self._writing = _Lane(path, busy_s, self._tables.values())
        self._reading = _Lane(path, busy_s, self._tables.values())

    async def write(self, points: Sequence[Point]) -> list[tuple[Point, str]]:
        """Store what can be stored, durably; the rest comes back with reasons. All or nothing when Unavailable."""
        if not points:
            return []
        return await self._writing.run(partial(self._write, list(points)))

    async def read(
        self, measurement: str, start_ms: int, end_ms: int, school: str | None = None, device: str | None = None
    ) -> list[Point]:
        """Points with start <= time < end, in order of time and tags."""
        table = self._tables[measurement]
        return await self._reading.run(partial(table.select, *window_ns(start_ms, end_ms), school, device))

    async def sums(
        self,
        measurement: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        by: Sequence[str] = (),
        school: str | None = None,
    ) -> dict[tuple[str, ...], dict[str, float]]:
        """Sums of `fields` by the values of the tags `by`."""
        check_sums(measurement, fields, by)
        table = self._tables[measurement]
        window = window_ns(start_ms, end_ms)
        return await self._reading.run(partial(table.sums, tuple(fields), *window, tuple(by), school))

    async def count(self, measurement: str) -> int:
        """How many points of `measurement` there are."""
        return await self._reading.run(self._tables[measurement].count)

    async def close(self) -> None:
        """Finish what is under way and close the file. A second call does nothing."""
        await self._writing.close()
        await self._reading.close()

    def _write(self, points: list[Point], database: sqlite3.Connection) -> list[tuple[Point, str]]:
        refused: list[tuple[Point, str]] = []
        values: dict[str, list[FieldValue | None]] = {}
        for point in points:
            if fault := fault_of(point, shape_of(point)):
                refused.append((point, fault))
                continue
            self._tables[point.measurement].append(values.setdefault(point.measurement, []), point)
        if values:
            database.execute("BEGIN IMMEDIATE")
            for measurement, given in values.items():
                self._tables[measurement].upsert(database, given)
            database.execute("COMMIT")
        return refused


class _Table:
    """The table of one measurement and its statements."""

    def __init__(self, name: str, metrics: tuple[Metric, ...]) -> None:
        self.name = name
        self.metrics = metrics
        self._names = tuple(metric.name for metric in metrics)
        self._bools = {metric.name for metric in metrics if metric.type == "bool"}
        self._width = len(_KEY) + len(metrics)
        self._most_rows = 1 << ((_MAX_PARAMETERS // self._width).bit_length() - 1)
        self._columns = ", ".join(f'"{column}"' for column in (*_KEY, *self._names))
        self._values = f"({', '.join('?' * self._width)})"
        keep = ", ".join(f'"{name}" = coalesce(excluded."{name}", "{name}")' for name in self._names)
        self._conflict = f"ON CONFLICT DO UPDATE SET {keep}"
        self._inserts: dict[int, str] = {}
        self._page = _page(metrics)

    def create(self, database: sqlite3.Connection) -> None:
        """Make the table, or add the columns that the table of metrics has gained since it was made."""
        have = {row[1] for row in database.execute(f'PRAGMA table_info("{self.name}")')}
        if not have:
            key = ", ".join(f'"{tag}" TEXT NOT NULL' for tag in TAGS)
            fields = ", ".join(f'"{metric.name}" {_COLUMN_TYPES[metric.type]}' for metric in self.metrics)
            primary = ", ".join(f'"{column}"' for column in _KEY)
            database.execute(
                f'CREATE TABLE IF NOT EXISTS "{self.name}" '
                f'("time_ns" INTEGER NOT NULL, {key}, {fields}, PRIMARY KEY ({primary})) WITHOUT ROWID'
            )
            return
        for metric in self.metrics:
            if metric.name not in have:
                column = f'"{metric.name}" {_COLUMN_TYPES[metric.type]}'
                database.execute(f'ALTER TABLE "{self.name}" ADD COLUMN {column}')

    def is_complete(self, database: sqlite3.Connection) -> bool:
        """Whether the table is there with all its columns."""
        have = {row[1] for row in database.execute(f'PRAGMA table_info("{self.name}")')}
        return have.issuperset(self._names)

    def append(self, values: list[FieldValue | None], point: Point) -> None:
        """Add the values of a point without fault: one flat list, because a tuple a row costs as much as its values."""
        values.append(point.time_ns)
        values += point.tags
        values += map(point.fields.get, self._names)

    def upsert(self, database: sqlite3.Connection, values: list[FieldValue | None]) -> None:
        """Write rows, as many to a statement as fit, in few different sizes so that the statements stay prepared."""
        width, at = self._width, 0
        while at < len(values):
            left = (len(values) - at) // width
            size = min(self._most_rows, 1 << (left - 1).bit_length())
            if size > left and left * 4 < size * 3:
                size //= 2
            part = values[at : at + size * width]
            at += size * width
            part += part[-width:] * (size - len(part) // width)  # the same row again fills up and changes nothing
            database.execute(self._insert(size), part)

    def _insert(self, rows: int) -> str:
        text = self._inserts.get(rows)
        if text is None:
            values = ", ".join([self._values] * rows)
            text = f'INSERT INTO "{self.name}" ({self._columns}) VALUES {values} {self._conflict}'  # noqa: S608
            self._inserts[rows] = text
        return text

    def select(
        self, start_ns: int, end_ns: int, school: str | None, device: str | None, database: sqlite3.Connection
    ) -> list[Point]:
        """Points of a span of time, a page a step, all as they stood at one moment."""
        wanted = {"school": school, "device": device}
        given = {tag: value for tag, value in wanted.items() if value is not None}
        only = "".join(f' AND "{tag}" = ?' for tag in given)
        order = ", ".join(f'"{column}"' for column in _KEY)
        source = (
            f'FROM "{self.name}" WHERE time_ns >= ? AND time_ns < ?{only} '
            f"AND ({order}) > ({', '.join('?' * len(_KEY))}) ORDER BY {order} LIMIT {PAGE}"
        )
        paged = f"SELECT {self._page} FROM (SELECT * {source})"  # noqa: S608  # names come from the table of metrics
        plain = f"SELECT {self._columns} {source}"
        last: Sequence[Any] = (start_ns - 1, "", "", "", "")
        points: list[Point] = []
        database.execute("BEGIN")
        while True:
            arguments = (max(start_ns, last[0]), end_ns, *given.values(), *last)
            text, tiny = database.execute(paged, arguments).fetchone()
            rows = database.execute(plain, arguments).fetchall() if tiny else _decode(text)
            points += map(self._point, rows)
            if len(rows) < PAGE:
                break
            last = rows[-1][: len(_KEY)]
        database.execute("COMMIT")
        return points

    def sums(
        self,
        fields: tuple[str, ...],
        start_ns: int,
        end_ns: int,
        by: tuple[str, ...],
        school: str | None,
        database: sqlite3.Connection,
    ) -> dict[tuple[str, ...], dict[str, float]]:
        """Sums of a span of time, in SQLite itself."""
        tags = ", ".join(f'"{tag}"' for tag in by)
        totals = ", ".join(f'sum(CAST("{name}" AS REAL))' for name in fields)  # whole numbers could run over
        query = (
            f"SELECT {', '.join(part for part in (tags, totals) if part)} "  # noqa: S608  # of the table of metrics
            f'FROM "{self.name}" WHERE time_ns >= ? AND time_ns < ?{" AND school = ?" if school is not None else ""}'
            f"{f' GROUP BY {tags}' if by else ''}"
        )
        found: dict[tuple[str, ...], dict[str, float]] = {}
        for row in database.execute(query, (start_ns, end_ns, *([] if school is None else [school]))):
            values = zip(fields, row[len(by) :], strict=True)
            if known := {name: value for name, value in values if value is not None}:
                found[row[: len(by)]] = known
        return found

    def _point(self, row: Sequence[Any]) -> Point:
        fields: dict[str, FieldValue] = {
            name: value for name, value in zip(self._names, row[len(_KEY) :], strict=True) if value is not None
        }
        for name in self._bools & fields.keys():
            fields[name] = bool(fields[name])
        time_ns, school, room, device_class, device = row[: len(_KEY)]
        return Point(self.name, time_ns, (school, room, device_class, device), fields)

    def count(self, database: sqlite3.Connection) -> int:
        """Rows of the table."""
        return int(database.execute(f'SELECT count(*) FROM "{self.name}"').fetchone()[0])  # noqa: S608


def _page(metrics: tuple[Metric, ...]) -> str:
    """The columns of many rows as one JSON text, and whether a float among them is too small to be written exactly.

    `quote` writes a float so that it reads back as the same, but below 1e-292 it does not (tried with 800,000 numbers).
    """
    columns = ["time_ns", *(f'json_quote("{tag}")' for tag in TAGS)]
    for metric in metrics:
        written = {"str": "json_quote", "float": "quote"}.get(metric.type, "")
        columns.append(f'iif("{metric.name}" IS NULL, \'null\', {written}("{metric.name}"))')
    row = " || ',' || ".join(columns)
    floats = [metric.name for metric in metrics if metric.type == "float"]
    tiny = [f'ifnull(abs("{name}") < 1e-280 AND "{name}" <> 0, 0)' for name in floats]
    return f"group_concat('[' || {row} || ']') AS json_group, max({' OR '.join(tiny) or '0'}) AS tiny"


def _decode(text: str | None) -> list[list[Any]]:
    """Rows of a page, in order of their keys: SQLite does not promise the order in which it joins them."""
    rows: list[list[Any]] = msgspec.json.decode(f"[{text or ''}]")
    rows.sort(key=itemgetter(*range(len(_KEY))))
    return rows


class _Lane:
    """One connection with its own thread. After an error the connection is made afresh at the next call."""

    def __init__(self, path: Path, busy_s: float, tables: Iterable[_Table]) -> None:
        self._path = path
        self._busy_s = busy_s
        self._tables = tables
        self._worker = Worker("store")
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` with the connection, in the thread; Unavailable when SQLite could not."""
        if self._closed:
            raise Unavailable(f"the store {self._path} is closed")
        return await self._worker.run(partial(self._do, work))

    async def close(self) -> None:
        """Wait for the work under way, close the connection, end the thread."""
        if not self._closed:
            self._closed = True
            await self._worker.run(self._drop)
            self._worker.end()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._database is None or self._file != self._identity():
                self._drop()  # a file that was moved away or put back from a backup is another file
                self._database = self._open()
                self._file = self._identity()
            return work(self._database)
        except BaseException as error:
            self._drop()
            if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.ProgrammingError):
                raise Unavailable(f"the store {self._path}: {error}; {self._remedy(error)}") from error
            raise  # a mistake of ours, which repeating cannot mend

    def _identity(self) -> tuple[int, int] | None:
        """Which file the path names now; None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            self._use_wal(database)
            database.execute("PRAGMA synchronous = FULL")
            database.execute(
                "PRAGMA journal_size_limit = 67108864"
            )  # a long read may let the log grow; shrink it after
            if not all(table.is_complete(database) for table in self._tables):
                database.execute("BEGIN IMMEDIATE")  # two processes may start at once
                for table in self._tables:
                    table.create(database)
                database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    def _use_wal(self, database: sqlite3.Connection) -> None:
        """Turn a new file to WAL. When two do that at once SQLite fails one of them without waiting, so wait here."""
        until = time.monotonic() + self._busy_s
        while database.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                database.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.002)

    def _drop(self) -> None:
        """Close the connection, which rolls back what was not committed."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _remedy(self, error: sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return f"free space on the disk of {self._path.parent}"
        if code == sqlite3.SQLITE_CANTOPEN and not self._path.parent.is_dir():
            return f"make the folder {self._path.parent}, or set path in [store]"
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return "let the collector's user read and write this file and its folder"
        if code == sqlite3.SQLITE_BUSY:
            return "end the other process that holds this file"
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return "move this file away and put back its last backup"
        return "see to the disk it lies on"
