"""InfluxDB: written through influxdb-client to /api/v2/write (1.8, 2.x, 3.x), read with InfluxQL over /query.

- The client gets ready-made line protocol: its own Point costs 24 us, a prepared template 3 us.
- **No retry here.** The collector's position in its journal is the retry, so every doubt is Unavailable: no answer,
  401, 403, 404, 429, 5xx. The points come again, and a rewrite changes nothing.
- Answer 400 or 422 about the data (such as a field that the bucket already holds with another type) is a *partial*
  write: the good lines are stored. The batch is not sent again as it is; it is halved until the offending points stand
  alone, and those are returned. A good point counts as stored only once a request with it was accepted whole.
- Read with InfluxQL because it is the only query language that 1.8, 2.x (with a DBRP mapping of the bucket) and 3.x
  share. Large answers come in chunks.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, cast
from urllib.parse import urlencode

import aiohttp
import msgspec
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from msgspec import Struct

from caretaker_collector.stores.points import Shape, check_sums, fault_of, shape_of, window_ns
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import MEASUREMENTS, TAGS, FieldType, FieldValue, Point

LANES: Final = 4
"""Requests at once: 105,000 lines a second on four connections against 37,000 on one (measured, InfluxDB 1.6.7)."""
LINES_PER_REQUEST: Final = 2_500
CHUNK_ROWS: Final = 5_000
_FEW: Final = 500  # points that are not worth a second connection
_FORMATS: Final[dict[FieldType, str]] = {"int": "%di", "float": "%r", "bool": "%s", "str": '"%s"'}
_PLAIN = re.compile(r"[A-Za-z0-9_.:/-]+(?:,[A-Za-z0-9_.:/-]+){3}", re.ASCII)
_TAG_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_TAG_ORDER = tuple(sorted(range(len(TAGS)), key=lambda i: TAGS[i]))  # InfluxDB is quicker with sorted tag names
_DROPPED = re.compile(r"dropped=(\d+)")
_NANOSECONDS = cast(WritePrecision, WritePrecision.NS)  # the library's constant is a str and its hints say otherwise
Line = tuple[Point, str]
Refused = list[tuple[Point, str]]


class InfluxStore:
    """Points in `bucket` of the InfluxDB at `url`. Make it anywhere; it connects at the first call."""

    def __init__(self, url: str, token: str, org: str, bucket: str, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._org = org
        self._bucket = bucket
        self._timeout_s = timeout_s
        self._client: InfluxDBClientAsync | None = None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def write(self, points: Sequence[Point]) -> list[tuple[Point, str]]:
        """Store what can be stored; the rest comes back with reasons. When Unavailable, some may be stored already."""
        self._check_open()
        refused: Refused = []
        many = len(points) > _FEW
        lanes: list[list[Line]] = [[] for _ in range(LANES if many else 1)]
        for number, point in enumerate(points):
            if fault := fault_of(point, shape := shape_of(point)):
                refused.append((point, fault))
            else:  # by device, so that two versions of one point stay in order
                lanes[hash(point.tags[3]) % LANES if many else 0].append((point, line(point, shape)))
            if number % 2_000 == 1_999:
                await asyncio.sleep(0)  # let the others have the loop: a line takes some microseconds
        done = await asyncio.gather(*(self._write_lane(lane) for lane in lanes if lane), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
            refused += result
        return refused

    async def read(
        self, measurement: str, start_ms: int, end_ms: int, school: str | None = None, device: str | None = None
    ) -> list[Point]:
        """Points with start <= time < end, in order of time and tags."""
        metrics = MEASUREMENTS[measurement]
        start_ns, end_ns = window_ns(start_ms, end_ms)
        columns = ", ".join(_name(column) for column in (*TAGS, *(metric.name for metric in metrics)))
        wanted = {"school": school, "device": device}
        only = "".join(f" AND {_name(tag)} = {_text(value)}" for tag, value in wanted.items() if value is not None)
        query = f"SELECT {columns} FROM {_name(measurement)} WHERE time >= {start_ns} AND time < {end_ns}{only}"  # noqa: S608
        types = {metric.name: metric.type for metric in metrics}
        found: list[Point] = []
        async for series in self._query(query):
            found += _points(measurement, series, types)
            await asyncio.sleep(0)
        found.sort(key=lambda point: (point.time_ns, point.tags))
        return found

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
        start_ns, end_ns = window_ns(start_ms, end_ms)
        totals = ", ".join(f"SUM({_name(name)}) AS {_name(name)}" for name in fields)
        only = "" if school is None else f" AND {_name('school')} = {_text(school)}"
        grouped = f" GROUP BY {', '.join(map(_name, by))}" if by else ""
        query = f"SELECT {totals} FROM {_name(measurement)} WHERE time >= {start_ns} AND time < {end_ns}{only}{grouped}"  # noqa: S608
        found: dict[tuple[str, ...], dict[str, float]] = {}
        async for series in self._query(query):
            values = zip(series.columns, series.values[0], strict=True)
            known = {name: float(value) for name, value in values if name != "time" and value is not None}
            if known:
                found[tuple(series.tags.get(tag, "") for tag in by)] = known
        return found

    async def count(self, measurement: str) -> int:
        """How many points of `measurement` there are: those with its first field, which every point has."""
        first = MEASUREMENTS[measurement][0].name
        async for series in self._query(f"SELECT COUNT({_name(first)}) FROM {_name(measurement)}"):  # noqa: S608
            return int(series.values[0][1])
        return 0

    async def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._closed = True
        client, self._client = self._client, None
        session, self._session = self._session, None
        if client is not None:
            await client.close()  # type: ignore[no-untyped-call]
        if session is not None:
            await session.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(f"the store {self._url} is closed")

    async def _write_lane(self, lines: list[Line]) -> Refused:
        refused: Refused = []
        for start in range(0, len(lines), LINES_PER_REQUEST):
            part = lines[start : start + LINES_PER_REQUEST]
            refusal = await self._send(part)
            if refusal is not None:
                refused += await self._sift(part, refusal)
        return refused

    async def _sift(self, lines: list[Line], refusal: "_Refusal") -> Refused:
        """The offending ones of `lines`, which InfluxDB did not take as a whole; the others get stored meanwhile.

        Takes 2 x log2(lines) requests for one offender, 2 x lines at the very most; one when InfluxDB says that it
        dropped them all.
        """
        if len(lines) == 1 or refusal.dropped == len(lines):
            return [(point, refusal.reason) for point, _ in lines]
        refused: Refused = []
        middle = len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            again = await self._send(half)
            if again is not None:
                refused += await self._sift(half, again)
        return refused

    async def _send(self, lines: list[Line]) -> "_Refusal | None":
        """One request. None when all is stored; Unavailable when it is worth repeating."""
        self._check_open()
        if self._client is None:
            self._client = InfluxDBClientAsync(
                self._url, self._token, self._org, timeout=round(self._timeout_s * 1000), connection_pool_maxsize=LANES
            )
        body = "\n".join([text for _, text in lines]).encode()
        try:
            await self._client.write_api().write(self._bucket, self._org, body, _NANOSECONDS)
        except ApiException as error:
            answer = error.body if isinstance(error.body, bytes) else str(error.body or "").encode()
            refusal = _refusal(error.status, answer)
            if refusal is None:
                raise Unavailable(self._complaint(error.status, _says(answer))) from error
            return refusal
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"InfluxDB at {self._url} does not answer: {_sentence(error)}") from error
        return None

    async def _query(self, query: str) -> AsyncIterator["_Series"]:
        """The parts of an answer as they come."""
        self._check_open()
        if self._session is None:
            time_out = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s, sock_read=self._timeout_s)
            self._session = aiohttp.ClientSession(timeout=time_out)
        arguments = {"db": self._bucket, "q": query, "epoch": "ns", "chunked": "true", "chunk_size": str(CHUNK_ROWS)}
        headers = {"Authorization": f"Token {self._token}", "Accept": "application/json"}
        try:
            async with self._session.get(f"{self._url}/query?{urlencode(arguments)}", headers=headers) as reply:
                if reply.status != 200:
                    raise Unavailable(self._complaint(reply.status, _says(await reply.read())))
                unfinished = False
                async for text in _json_lines(reply.content):
                    for result in _answer_decoder.decode(text).results:
                        if result.error:
                            raise Unavailable(
                                f"InfluxDB at {self._url} cannot read bucket {self._bucket!r}: {result.error}"
                            )
                        unfinished = result.partial
                        for series in result.series:
                            yield series
                if unfinished:
                    raise Unavailable(f"InfluxDB at {self._url} broke off its answer")
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"InfluxDB at {self._url} does not answer: {_sentence(error)}") from error

    def _complaint(self, status: int | None, says: str) -> str:
        """What went wrong and which setting to look at."""
        remedy = {
            401: "look at token_file in [store]",
            403: f"the token in token_file may not use bucket {self._bucket!r}: give it that right in InfluxDB",
            404: f"look at url, org and bucket ({self._bucket!r}) in [store], and whether that bucket exists",
            429: "InfluxDB asks to slow down; it is tried again",
        }.get(status or 0, "it is tried again")
        return f"InfluxDB at {self._url} answers {status} ({says}): {remedy}"


class _Refusal(Struct, frozen=True):
    """InfluxDB read a request and did not take all. `dropped`: how many points it says it left out (0: no word)."""

    reason: str
    dropped: int


def _refusal(status: int | None, answer: bytes) -> _Refusal | None:
    """Whether an answer speaks about the data (so repeating cannot help). 413: the request was too long, halve it."""
    if status == 413:
        return _Refusal("too long for InfluxDB", 0)
    if status not in (400, 422):
        return None
    try:  # a proxy's or another server's 400 says nothing about our data
        words = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
    says = words.get("error") or words.get("message")
    if not isinstance(says, str):
        return None
    found = _DROPPED.search(says)
    return _Refusal(f"InfluxDB: {says}"[:500], int(found.group(1)) if found else 0)


def line(point: Point, shape: Shape) -> str:
    """One line of line protocol, for a point without fault."""
    school, room, device_class, device = point.tags
    if _PLAIN.fullmatch(f"{school},{room},{device_class},{device}"):
        head = f"{point.measurement},class={device_class},device={device},room={room},school={school} "
    else:  # an empty tag is left out, as InfluxDB wants it
        tags = [(TAGS[i], point.tags[i].translate(_TAG_ESCAPES)) for i in _TAG_ORDER if point.tags[i]]
        head = "".join((point.measurement, *(f",{name}={value}" for name, value in tags), " "))
    template = _templates.get(shape)
    if template is None:
        if len(_templates) >= 4096:
            _templates.clear()
        pairs = zip(point.fields, shape.types, strict=True)
        template = _templates[shape] = ",".join(f"{name}={_FORMATS[kind]}" for name, kind in pairs) + " %d"
    values = tuple(point.fields.values())
    for name in shape.texts:
        if '"' in (text := point.fields[name]) or "\\" in text:  # type: ignore[operator]  # the shape says so
            values = tuple(_quoted(value) if isinstance(value, str) else value for value in values)
            break
    return head + template % (*values, point.time_ns)


_templates: dict[Shape, str] = {}


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _name(identifier: str) -> str:
    """An identifier of InfluxQL."""
    return '"' + identifier.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _text(value: str) -> str:
    """A string literal of InfluxQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


class _Series(Struct):
    columns: list[str]
    values: list[list[Any]]
    tags: dict[str, str] = {}


class _Result(Struct):
    series: list[_Series] = []
    error: str = ""
    partial: bool = False


class _Answer(Struct):
    results: list[_Result]


_answer_decoder = msgspec.json.Decoder(_Answer)


async def _json_lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """One JSON text per line; the reader's own lines are limited to 128 kB, which a chunk of rows exceeds."""
    parts: list[bytes] = []
    async for data in content.iter_any():
        *ended, rest = data.split(b"\n")
        for end in ended:
            text = b"".join((*parts, end))
            parts.clear()
            if text.strip():
                yield text
        parts.append(rest)
    if (text := b"".join(parts)).strip():
        yield text


def _points(measurement: str, series: _Series, types: dict[str, FieldType]) -> list[Point]:
    """Rows of an answer as points. What is not there, or is of a type that we never wrote, stays absent."""
    names = series.columns
    time_at = names.index("time")
    tags_at = [names.index(tag) for tag in TAGS]
    fields_at = [(i, name, types[name]) for i, name in enumerate(names) if name in types]
    points = []
    for row in series.values:
        fields: dict[str, FieldValue] = {}
        for i, name, kind in fields_at:
            value = row[i]
            if value is not None and (value := _as_declared(value, kind)) is not None:
                fields[name] = value
        school, room, device_class, device = (row[i] or "" for i in tags_at)
        points.append(Point(measurement, row[time_at], (school, room, device_class, device), fields))
    return points


def _as_declared(value: Any, kind: FieldType) -> FieldValue | None:
    """JSON knows one kind of number: 5 may be a float. Others' data of a wrong type is none of ours."""
    if kind == "float":
        return float(value) if type(value) in (int, float) else None
    return cast(FieldValue, value) if type(value) is _JSON_TYPES[kind] else None


_JSON_TYPES: Final[dict[FieldType, type]] = {"int": int, "bool": bool, "str": str}


def _says(answer: bytes) -> str:
    return " ".join(answer.decode(errors="replace").split())[:300] or "no words"


def _sentence(error: BaseException) -> str:
    """Some errors of asyncio have no text of their own."""
    return str(error) or type(error).__name__
