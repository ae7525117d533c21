"""How long the boards' queries take over a month and a year of a large estate, in a real InfluxDB.

    python bench/board_queries.py [--schools 100] [--devices 328] [--shards 13w] [--quick] [--json]

The rows are invented, of the measurements that boards read and as many as a running Caretaker writes: days of schools,
rooms, energy and lessons for a year; days of machines for a year where boards go back so far (always-on machines, one
school) and a month for all others; what is "now" by the minute for one school and every ten minutes for the others;
reports of machines for a day. Each query is that of a panel with its variables filled in, for the whole estate where
the board allows that; it is asked five times, and the fastest counts, because other work only slows. Beside it stands
a plain COUNT of one field over the same rows in the same run: the ratio says what a query costs apart from the machine.
"""

import argparse
import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from rich.console import Console
from rich.table import Table

from board_queries import filled, span
from caretaker_contract.metrics import MEASUREMENTS
from caretaker_dashboards.boards import BOARDS
from caretaker_dashboards.boards.defaults import Filling
from caretaker_dashboards.describe import Board, Panel, Pick
from caretaker_dashboards.queries import MINUTES, RAW
from servers import Influx, influxd

NOW_MS = 1_790_600_000_000  # a Monday at half past twelve
DAY_MS, MINUTE_MS = 86_400_000, 60_000
MONTH, YEAR = 31, 366
ROOMS = 18
SERVERS = 8
LESSON_DAYS = 0.52  # of all days
LINES = 10_000
REPEATS = 5
SECOND = 1.0
_DAY = "in_use_s=120000i,idle_s=80000i,asleep_s=9000i,off_s=900000i,blind_s=0i,boots=30i,energy_wh=9000.5"
_OWED = (
    "owed_s=700000i,maintained_s=0i,available_s=690000i,down_s=9000i,unseen_s=1000i,lesson_s=500000i,"
    "lesson_available_s=490000i,lesson_down_s=9000i,lesson_unseen_s=1000i,faults=1i"
)
_ENERGY = ",".join(
    f"{kind}_{unit}{end}={number}"
    for kind, number in (("rule", 30.5), ("user", 3.25), ("both", 33.75))
    for unit in ("kwh", "pence", "kg")
    for end in ("", "_low", "_high")
)
_USED = "device_days=328i,blind_h=0.5,used_kwh=140.5,used_pence=3500.5,used_kg=25.5"
_STATES = "devices=328i,in_use=120i,idle=60i,asleep=8i,off=138i,lost=1i,unknown=1i,planned_off=130i"
_SCHOOL = (
    f"{_STATES},lessons=14i,lessons_ready=13i,open_p1=0i,open_p2=1i,open_p3=2i,open_p4=0i,open_none=0i,"
    'fix_left_min=85.5,mode="live",stopped=false,blind=false'
)
_REPORT = (
    'state="idle",epoch="3f9a01c2",boot=5i,seq=40i,in_use_s=1000i,idle_s=2000i,asleep_s=30i,skew_s=0.125,'
    "input_age_s=500i,session=true,disk_ratio=0.5,cpu_ratio=0.02,memory_ratio=0.58,uptime_s=10000i,watts=60.5"
)
_CHANGE = 'from_state="idle",to_state="off",cause="rule",planned=true,shown="off_rule"'
_COMMAND = 'id="3f9a01c2",verb="shut_down",step="done",reason="none"'


@dataclass(frozen=True)
class Size:
    """How large the estate is."""

    schools: int
    devices: int

    @property
    def school(self) -> str:
        """The one of which everything is there."""
        return "school-000"

    def names(self) -> list[str]:
        """All schools."""
        return [f"school-{number:03}" for number in range(self.schools)]

    def place(self, number: int) -> tuple[str, str, str]:
        """Room, class and name of a school's machine; the first ones are servers."""
        if number < SERVERS:
            return "servers", "server", f"servers-{number:02}"
        return f"room-{number % ROOMS:02}", "desktop", f"pc-{number:03}"


def days(count: int) -> Iterator[int]:
    """Midnights in ns, the newest first."""
    midnight_ms = NOW_MS // DAY_MS * DAY_MS
    for back in range(count):
        yield (midnight_ms - back * DAY_MS) * 1_000_000


def every(minutes: int, length_days: float, start_days: float = 0.0) -> Iterator[int]:
    """Moments in ns before now, the newest first."""
    for back in range(round(start_days * 1440), round(length_days * 1440), minutes):
        yield (NOW_MS // MINUTE_MS - back) * MINUTE_MS * 1_000_000


def lines(size: Size) -> Iterator[str]:
    """Everything, in line protocol."""
    rooms = [f"room-{number:02}" for number in range(ROOMS)]
    for school in size.names():
        whole = f"school={school},room=all,class=all,device=all"
        one = school == size.school
        for at in days(YEAR):
            yield f"school_day,{whole} devices={size.devices}i,lessons=90i,ready=2600i,total=2700i,{_DAY},{_OWED} {at}"
            yield f"energy_day,{whole} {_USED},{_ENERGY} {at}"
            for room in rooms:
                tags = f"school={school},room={room},class=room,device=all"
                yield f"room_day,{tags} devices=18i,lessons=5i,ready=145i,total=150i,{_DAY},{_OWED} {at}"
                yield f"energy_day,{tags} {_USED},rule_kwh=1.5,user_kwh=0.25,both_kwh=1.75 {at}"
            for back in range(13) if at % (30 * DAY_MS * 1_000_000) < DAY_MS * 1_000_000 else ():
                rule = f"school={school},room=all,class=rule:rule-{back % 3},device=all"
                yield f"energy_month,{whole} {_USED},{_ENERGY} {at}"
                yield f"rule_month,{rule} rule_offs=30i,{_ENERGY.split(',user')[0]} {at}"
        for back, at in enumerate(days(round(YEAR * LESSON_DAYS))):
            for room in rooms:
                for lesson in range(5):
                    moment = at - back * DAY_MS * 900_000 + lesson * 3_600_000 * 1_000_000
                    yield f"room_ready,school={school},room={room},class=room,device=all ready=29i,total=30i {moment}"
        for number in range(size.devices):
            room, device_class, name = size.place(number)
            tags = f"school={school},room={room},class={device_class},device={name}"
            for at in days(YEAR if one or number < SERVERS else MONTH):
                yield f"device_day,{tags} {_DAY},{_OWED} {at}"
            if one or number < SERVERS:
                for at in every(5, 1.0):
                    yield f"device,{tags} {_REPORT} {at + number}"
            if one:
                for at in every(144, MONTH):
                    yield f"transition,{tags} {_CHANGE} {at + number}"
                for at in every(720, MONTH):
                    yield f"command,{tags} {_COMMAND} {at + number}"
        for at in every(1, MONTH if one else 1.0):
            yield f"school_now,{whole} {_SCHOOL} {at}"
        for at in () if one else every(10, MONTH, 1.0):
            yield f"school_now,{whole} {_SCHOOL} {at}"
        for at in every(5, MONTH if one else 0.1):
            for room in rooms:
                tags = f"school={school},room={room},class=room,device=all"
                yield f"room_now,{tags} {_STATES},lesson=true,held=false {at}"
        yield from incidents(school)
    for minute, at in enumerate(every(1, MONTH)):
        counters = ",".join(
            f"{metric.name}={100_000 - minute}i" for metric in MEASUREMENTS["collector"] if metric.type == "int"
        )
        tags = "school=caretaker,room=all,class=collector,device=c"
        yield f"collector,{tags} {counters},behind_s=0,certificate_days=80 {at}"


def incidents(school: str) -> Iterator[str]:
    """One a day, with six changes each, of kinds that boards ask for."""
    kinds = ("lost", "link_down", "server_down", "room_not_ready")
    for number, at in enumerate(days(YEAR)):
        for step, action in enumerate(("opened", "grown", "acknowledged", "noted", "fixed", "noted")):
            status = "fixed" if step >= 4 else "acknowledged" if step >= 2 else "open"
            yield (
                f"incident,school={school},room=room-{number % ROOMS:02},class=all,device=all "
                f'number={number}i,kind="{kinds[number % 4]}",action="{action}",status="{status}",priority=2i,hits=1i,'
                f"since_ms=1i,opened_ms=1i,acknowledged_ms=1i,fixed_ms=0i,reopened=0i {at + step * 3_600_000_000_000}"
            )


def load(influx: Influx, rows: Iterable[str]) -> int:
    """Write lines; returns how many."""
    target = f"{influx.url}/api/v2/write?" + urlencode({"org": influx.org, "bucket": influx.bucket, "precision": "ns"})
    count, part = 0, list[str]()

    def send() -> None:
        asked = urllib.request.Request(target, "\n".join(part).encode(), method="POST")  # noqa: S310
        asked.add_header("Authorization", f"Token {influx.token}")
        with urllib.request.urlopen(asked, timeout=120) as reply:  # noqa: S310
            reply.read()

    for row in rows:
        part.append(row)
        count += 1
        if len(part) == LINES:
            send()
            part.clear()
    if part:
        send()
    return count


def lengthen_shards(influx: Influx, weeks: str) -> None:
    """Let each file of the database hold so much time, as the deployment does: a year in few files is read faster."""
    query = f'ALTER RETENTION POLICY "autogen" ON "{influx.bucket}" SHARD DURATION {weeks}'
    asked = urllib.request.Request(  # noqa: S310
        f"{influx.url}/query?" + urlencode({"q": query}), method="POST"
    )
    asked.add_header("Authorization", f"Token {influx.token}")
    with urllib.request.urlopen(asked, timeout=120) as reply:  # noqa: S310
        answer = reply.read()
    if b"error" in answer:
        sys.stderr.write(f"the shards stay as they are: {answer.decode()}\n")


def ask(influx: Influx, query: str) -> tuple[float, int]:
    """Seconds until the whole answer is here, and its rows."""
    asked = urllib.request.Request(  # noqa: S310
        f"{influx.url}/query?" + urlencode({"db": influx.bucket, "q": query, "epoch": "ms"})
    )
    asked.add_header("Authorization", f"Token {influx.token}")
    began = time.perf_counter()
    with urllib.request.urlopen(asked, timeout=120) as reply:  # noqa: S310
        body = reply.read()
    spent_s = time.perf_counter() - began
    [result] = json.loads(body)["results"]
    if "error" in result:
        raise SystemExit(f"{query}: {result['error']}")
    return spent_s, sum(len(series["values"]) for series in result.get("series", ()))


def fastest(influx: Influx, query: str) -> tuple[float, int]:
    """The fastest of some tries."""
    tries = [ask(influx, query) for _ in range(REPEATS)]
    return min(spent for spent, _ in tries), tries[0][1]


def counting(query: str) -> str:
    """A plain COUNT over the rows that a query reads."""
    found = re.search(r'FROM "(\w+)" WHERE ', query)
    assert found is not None, query
    where, depth, in_regex = "", 0, False
    for at in range(found.end(), len(query)):
        letter = query[at]
        in_regex ^= letter == "/" and (in_regex or query[at - 3 : at] == "=~ ")
        if not in_regex:
            depth += (letter == "(") - (letter == ")")
            if depth < 0 or re.match(r" (GROUP BY|ORDER BY|LIMIT|tz)\b", query[at:]):
                break
        where += letter
    return f'SELECT COUNT("{MEASUREMENTS[found[1]][0].name}") FROM "{found[1]}" WHERE {where}'


def spans(board: Board, panel: Panel, measurement: str) -> list[tuple[str, int, int]]:
    """What a query is asked over: the board as it opens, then a month and a year where its data go back so far.

    A panel with a span of its own keeps it, whatever its reader chooses for the board.
    """
    if measurement in RAW:
        return [("a day", NOW_MS - DAY_MS, NOW_MS)]
    found = [("as opened", *span(board, panel, NOW_MS))]
    if panel.time_from:
        return found
    found.append(("a month", NOW_MS - 30 * DAY_MS, NOW_MS))
    if measurement not in MINUTES:
        found.append(("a year", NOW_MS - 365 * DAY_MS, NOW_MS))
    return found


def measure(influx: Influx, size: Size) -> Iterator[dict[str, Any]]:
    """Every query of every panel, after each measurement was read once: what was just written lies in memory."""
    for measurement, metrics in MEASUREMENTS.items():
        ask(influx, f'SELECT COUNT("{metrics[0].name}") FROM "{measurement}"')
    filling = Filling()
    for board in BOARDS:
        everything = Pick.SCHOOLS in board.picks
        values = {
            "network": ".*",
            "school": ".*" if everything else size.school,
            "room": "room-10",
            "device": "pc-010",
            "target": f"{filling.target:g}",
            "always_on": "server",
            "plan_kwh": "120000",
        }
        for panel in board.panels:
            for question in panel.questions:
                read = re.search(r'FROM "(\w+)"', question.text)
                assert read is not None
                for name, from_ms, to_ms in spans(board, panel, read[1]):
                    query = filled(question.text, values, from_ms, to_ms)
                    spent_s, rows = fastest(influx, query)
                    plain_s, _ = fastest(influx, counting(query))
                    yield {
                        "board": board.name,
                        "panel": panel.title,
                        "reads": read[1],
                        "over": name,
                        "seconds": round(spent_s, 4),
                        "ratio": round(spent_s / plain_s, 2),
                        "rows": rows,
                        "query": query,
                    }


def main() -> int:
    """Load, ask, print; 1 when a query took more than a second, or brought nothing."""
    parser = argparse.ArgumentParser(description="Seconds for each query of the boards.")
    parser.add_argument("--schools", type=int, default=100)
    parser.add_argument("--devices", type=int, default=328, help="of each school")
    parser.add_argument("--shards", default="13w", help="time in one file of the database (InfluxDB's own choice: 7d)")
    parser.add_argument("--quick", action="store_true", help="10 schools")
    parser.add_argument("--json", action="store_true", help="one JSON line for each query")
    given = parser.parse_args()
    size = Size(10 if given.quick else given.schools, given.devices)
    with influxd() as server:
        own = server.fresh_bucket()
        lengthen_shards(own, given.shards)
        began = time.perf_counter()
        count = load(own, lines(size))
        sys.stderr.write(f"{count:,} rows of {size.schools} schools written in {time.perf_counter() - began:.0f} s\n")
        results = list(measure(own, size))
    slow = [result for result in results if result["seconds"] > SECOND]
    empty = [result for result in results if not result["rows"]]
    if given.json:
        sys.stdout.writelines(json.dumps(result) + "\n" for result in results)
    else:
        Console().print(table(results))
    for result in slow:
        sys.stderr.write(f"more than a second: {result['board']} / {result['panel']}: {result['query']}\n")
    for result in empty:
        sys.stderr.write(f"brought nothing: {result['board']} / {result['panel']}: {result['query']}\n")
    return 1 if slow or empty else 0


def table(results: list[dict[str, Any]]) -> Table:
    """One line for each board and span, with its slowest query."""
    shown = Table("board", "over", "queries", "together s", "slowest s", "as a ratio to a plain count", "slowest panel")
    for key in dict.fromkeys((result["board"], result["over"]) for result in results):
        of_both = [result for result in results if (result["board"], result["over"]) == key]
        worst = max(of_both, key=lambda result: float(result["seconds"]))
        together = sum(float(result["seconds"]) for result in of_both)
        shown.add_row(
            *key,
            str(len(of_both)),
            f"{together:.3f}",
            f"{worst['seconds']:.3f}",
            f"{worst['ratio']:.2f}",
            f"{worst['panel']} ({worst['reads']})",
        )
    return shown


if __name__ == "__main__":
    sys.exit(main())
