"""What the desk costs: page time, memory, and how late the rules get, with 30,000 devices and 200 open pages.

    python bench/desk.py [--devices 30000] [--pages 200] [--seconds 30] [--json] [--quick]

A collector with the SQLite store and no broker: what 30,000 machines say at the 5-minute heartbeat (100 reports a
second) is put straight into its journal, and rules, store and desk work on it as they do in service. A second process
holds the pages open, each with its stream of server-sent events, and loads its page again whenever it is told to, as a
browser does. A page of the same size that says always the same, from the same server in the same run, says how fast
this machine is: compare the ratios.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).parents[1]
SCHOOL_SIZE, ROOM_SIZE = 328, 30
HEARTBEAT_S, TICK_S = 300, 30
FAULTY = 40
"""Machines that were reported to be broken: so many incidents are open."""
PER_SESSION = 10
"""Pages of one person; the desk allows twelve streams a session."""
LOOK_S = 0.01
PEOPLE = 21


# -- the collector's side: a process of its own --


def write_world(folder: Path, devices: int, port: int) -> None:
    """An estate of secondary schools with lessons, a live rule, and a service level."""
    from caretaker_contract import signing

    (folder / "policy.toml").write_text((ROOT / "rules/policies/school.toml").read_text())
    (folder / "service.toml").write_text((ROOT / "rules/policies/service.toml").read_text())
    lines = ['provider = "Bench"', 'service = "service.toml"']
    for first in range(0, devices, SCHOOL_SIZE):
        school, size = f"s{first // SCHOOL_SIZE:03}", min(SCHOOL_SIZE, devices - first)
        rows = [f"pc-{number:03},r{number // ROOM_SIZE},desktop,," for number in range(size)]
        (folder / f"{school}.csv").write_text("device,room,class,mac,tags\n" + "\n".join(rows) + "\n")
        lines += ["", "[[schools]]", f'name = "{school}"', f'title = "School {school}"', f'devices = "{school}.csv"']
        lines += ['policy = "policy.toml"']
        for room in range((size - 1) // ROOM_SIZE + 1):
            lines += ["[[schools.rooms]]", f'name = "r{room}"', 'lessons = ["mon-sun 00:00-24:00"]']
    for name in ("desktop", "thin_client", "laptop"):
        lines += ["", "[[classes]]", f'name = "{name}"', "watts_in_use = 90", "watts_idle = 80", "watts_asleep = 3"]
        lines += ["watts_off = 2.6"]
    (folder / "estate.toml").write_text("\n".join([*lines, ""]))
    (folder / "command.key").write_text(bytes(signing.new_key()).hex() + "\n")
    (folder / "collector.toml").write_text(
        f'estate = "estate.toml"\ndata = "data"\ntick_s = {TICK_S}.0\n[http]\nhost = "127.0.0.1"\nport = {port}\n'
        '[signing]\nkey_file = "command.key"\n[store]\nkind = "sqlite"\npath = "store.db"\n'
    )


class Serving:
    """The collector with its desk, fed without a broker; /bench/ says how it does."""

    def __init__(self, folder: Path, devices: int) -> None:
        from caretaker_collector.app import Collector
        from caretaker_collector.settings import load_collector, load_estate_and_policies
        from caretaker_contract.clock import Clock

        settings = load_collector(folder / "collector.toml")
        self.collector = Collector(settings, *load_estate_and_policies(Path(settings.estate)), Clock())
        self.devices = devices
        self.late_ms: list[float] = []
        self.plain: dict[int, bytes] = {}

    async def run(self) -> None:
        """Until killed."""
        import uvicorn
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import HTMLResponse, JSONResponse, Response
        from starlette.routing import Route

        from caretaker_collector.desk.served import DeskServed
        from caretaker_collector.http import _Server, application, listen, with_desk

        collector = self.collector
        self._people()
        collector.receiver.problem = ""
        collector.memory.connected_since_ms = collector.clock.now_ms() - 120_000

        async def plain(request: Request) -> Response:
            size = int(request.query_params["size"])
            return HTMLResponse(self.plain.setdefault(size, b"x" * size))

        async def figures(request: Request) -> Response:
            late, self.late_ms = self.late_ms, []
            return JSONResponse(
                {
                    "late_ms": late,
                    "rss_mb": _rss_mb(),
                    "cpu_s": time.process_time(),
                    "lag": collector.lag,
                    "heard": len(collector.memory.entries),
                    "looked": len(collector.now.looked_ms),
                    "followers": sum(collector.changes.followers.values()),
                    "unwatched_rules_s": (collector.clock.now_ms() - collector.core.ticked_ms) / 1000,
                }
            )

        bench = Starlette(routes=[Route("/api/plain", plain), Route("/api/figures", figures)])
        desk = DeskServed(collector)
        others = application(collector)

        async def choose(scope: Any, receive: Any, send: Any) -> None:
            ours = scope["type"] == "http" and scope["path"] in ("/api/plain", "/api/figures")
            await (bench if ours else with_desk(others, desk.app))(scope, receive, send)

        config = uvicorn.Config(choose, log_level="warning", access_log=False, lifespan="off", proxy_headers=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(collector.core.run())
            tasks.create_task(collector.recorder.run())
            tasks.create_task(collector.changes.watch())
            tasks.create_task(self._feed())
            tasks.create_task(self._lateness())
            tasks.create_task(_Server(config).serve(sockets=[listen("127.0.0.1", collector.settings.http.port)]))

    def _people(self) -> None:
        """Somebody who may sign in, and incidents that somebody reported."""
        from caretaker_collector import people
        from caretaker_collector.accounts import book
        from caretaker_collector.accounts.passwords import Passwords
        from caretaker_collector.incidents import actions
        from caretaker_rules.roles import Role, operator

        db, now_ms = self.collector.db, self.collector.clock.now_ms()
        hashed = Passwords().hash("bench-bench-bench")
        for number in range(PEOPLE):
            book.new(db, operator("bench"), f"engineer{number}", Role.ENGINEER, (), hashed, now_ms)
        for number in range(FAULTY):
            where = people.scope(self.collector.estate, f"s000/pc-{number:03}")
            actions.report(db, self.collector.estate, where, "bench", f"broken {number}", now_ms - number * 60_000)

    async def _feed(self) -> None:
        """Each device says hello and reports once; then all of them at their heartbeat."""
        import load

        from caretaker_contract.messages import Kind, encode
        from caretaker_rules.ports import Incoming

        now = self.collector.clock.now_ms

        async def say(numbers: range, seq: int) -> None:
            said = []
            for number in numbers:
                address, at_ms = load.address(number % self.devices), now()
                if not seq:
                    said.append(Incoming(at_ms, address.topic(Kind.HELLO), encode(load._hello(at_ms))))
                else:
                    report = load._report(number % self.devices, seq, at_ms)
                    said.append(Incoming(at_ms, address.topic(Kind.REPORT), encode(report)))
            await self.collector.journal.append(said)

        for seq in (0, 1):
            for first in range(0, self.devices, 1000):
                await say(range(first, min(first + 1000, self.devices)), seq)
                while self.collector.lag > 4_000:
                    await asyncio.sleep(0.01)
        per_turn, number, began = max(1, self.devices // HEARTBEAT_S // 10), self.devices, time.monotonic()
        turns = 0
        while True:
            turns += 1
            await asyncio.sleep(max(0.0, began + turns * 0.1 - time.monotonic()))
            await say(range(number, number + per_turn), 1 + number // self.devices)
            number += per_turn

    async def _lateness(self) -> None:
        """How late the loop comes back to somebody who waits a hundredth of a second."""
        while True:
            due = time.perf_counter() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.late_ms.append((time.perf_counter() - due) * 1000)


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# -- the browsers' side --


@dataclass
class Asker:
    """One signed-in session's way to ask."""

    port: int
    cookie: str = ""
    seen: Counter[int] = field(default_factory=Counter)

    async def ask(
        self, path: str, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            body = urlencode(form).encode() if form else b""
            lines = [
                f"{'POST' if form else 'GET'} {path} HTTP/1.1",
                f"Host: 127.0.0.1:{self.port}",
                "Connection: close",
            ]
            lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
            lines += [f"Cookie: {self.cookie}"] if self.cookie else []
            if form:
                lines += [f"Origin: http://127.0.0.1:{self.port}", f"Content-Length: {len(body)}"]
                lines += ["Content-Type: application/x-www-form-urlencoded"]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
            first, *fields = head.decode("latin-1").split("\r\n")
            found = [line.partition(": ") for line in fields]
            for name, _, value in found:
                if name.lower() == "set-cookie":
                    self._keep(value)
            status = int(first.split()[1])
            self.seen[status] += 1
            return status, {name.lower(): value for name, _, value in found}, rest
        finally:
            writer.close()

    def _keep(self, value: str) -> None:
        kept = dict(part.split("=", 1) for part in self.cookie.split("; ") if part)
        name, _, rest = value.partition("=")
        kept[name] = rest.partition(";")[0]
        self.cookie = "; ".join(f"{name}={value}" for name, value in kept.items())

    async def sign_in(self, number: int) -> None:
        """As one of the engineers."""
        _, _, page = await self.ask("/sign-in")
        found = re.search(rb'name="csrf" value="([^"]+)"', page)
        assert found is not None
        form = {"csrf": found[1].decode(), "name": f"engineer{number}", "password": "bench-bench-bench", "next": "/"}
        status, _, page = await self.ask("/sign-in", form=form)
        assert status == 303, page[:500]


@dataclass
class Told:
    """What happened to the open pages."""

    marks: int = 0
    loads_ms: list[float] = field(default_factory=list)
    streams: int = 0


async def live_page(asker: Asker, path: str, topic: str, told: Told) -> None:
    """An open page: follow its topic, and load it again when told to."""
    headers = {"HX-Request": "true", "X-Caretaker-Live": "1"}
    etag = ""
    reader, writer = await asyncio.open_connection("127.0.0.1", asker.port)
    try:
        writer.write(
            f"GET /events?topic={topic} HTTP/1.1\r\nHost: 127.0.0.1:{asker.port}\r\nAccept: text/event-stream\r\n"
            f"Cookie: {asker.cookie}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0], head
        told.streams += 1
        while True:
            line = await reader.readline()
            if not line:
                return
            if not line.startswith(b"data:"):
                continue
            told.marks += 1
            await asyncio.sleep(random.random() * 0.1)
            began = time.perf_counter()
            status, found, _ = await asker.ask(path, {**headers, **({"If-None-Match": etag} if etag else {})})
            told.loads_ms.append((time.perf_counter() - began) * 1000)
            etag = found.get("etag", etag) if status == 200 else etag
    finally:
        writer.close()


async def timed(asker: Asker, paths: list[str], pause_s: float = 0.08) -> tuple[list[float], int]:
    """How long each takes, one after the other, in ms; and the size of the last."""
    found, size = [], 0
    for path in paths:
        began = time.perf_counter()
        status, _, body = await asker.ask(path)
        found.append((time.perf_counter() - began) * 1000)
        assert status == 200, (path, status, body[:300])
        size = len(body)
        await asyncio.sleep(pause_s)
    return found, size


def spread(values: list[float]) -> dict[str, float]:
    """Median, 99th of a hundred, and the worst."""
    ordered = sorted(values) or [0.0]
    return {
        "median_ms": round(median(ordered), 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 2),
        "worst_ms": round(ordered[-1], 2),
    }


async def measure(port: int, given: argparse.Namespace, child: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """All figures."""
    plain = Asker(port)
    while True:
        if child.poll() is not None:
            raise SystemExit("the collector did not start; what it said stands above")
        try:
            figures = json.loads((await plain.ask("/api/figures"))[2])
            schools = (given.devices - 1) // SCHOOL_SIZE + 1
            if figures["heard"] == given.devices and figures["looked"] == schools and figures["lag"] < 500:
                break
        except OSError:
            pass
        await asyncio.sleep(0.2)
    asker = Asker(port)
    await asker.sign_in(PEOPLE - 1)
    rng = random.Random(1)
    answer: dict[str, Any] = {"devices": given.devices, "schools": schools, "pages": given.pages}

    async def pages() -> dict[str, Any]:
        found: dict[str, Any] = {}
        kinds = {
            "estate": ["/"] * 20,
            "school": [f"/schools/s{rng.randrange(schools):03}" for _ in range(20)],
            "room": [f"/rooms/s{rng.randrange(schools - 1):03}/r{rng.randrange(10)}" for _ in range(20)],
            "device": [f"/devices/s{rng.randrange(schools - 1):03}/pc-{rng.randrange(300):03}" for _ in range(20)],
            "search": [f"/search?q=pc-{rng.randrange(300):03}" for _ in range(20)],
        }
        for name, paths in kinds.items():
            times, size = await timed(asker, paths)
            same, _ = await timed(plain, [f"/api/plain?size={size}"] * 20, 0.01)
            found[name] = {
                **spread(times),
                "kB": round(size / 1000, 1),
                "plain_ms": round(median(same), 2),
                "times_plain": round(median(times) / median(same), 1),
            }
        return found

    await asyncio.sleep(2)
    began = json.loads((await plain.ask("/api/figures"))[2])
    await asyncio.sleep(given.seconds)
    quiet = json.loads((await plain.ask("/api/figures"))[2])
    answer["quiet"] = {
        "loop_late": spread(quiet["late_ms"]),
        "rss_mb": round(quiet["rss_mb"], 1),
        "cpu_share": round((quiet["cpu_s"] - began["cpu_s"]) / given.seconds, 3),
    }
    answer["pages_quiet"] = await pages()

    sessions = [Asker(port) for _ in range((given.pages - 1) // PER_SESSION + 1)]
    for number, each in enumerate(sessions):
        await each.sign_in(number % (PEOPLE - 1))
        await asyncio.sleep(0.5)  # the desk slows down who signs in too often
    told, tasks = Told(), []
    for number in range(given.pages):
        school = f"s{rng.randrange(schools - 1):03}"
        path, topic = [("/", "estate"), (f"/schools/{school}", school), (f"/rooms/{school}/r1", f"{school}/r1")][
            0 if number % 2 == 0 else 1 + number // 2 % 2
        ]
        tasks.append(asyncio.create_task(live_page(sessions[number // PER_SESSION], path, topic, told)))
    await asyncio.sleep(3)
    began = json.loads((await plain.ask("/api/figures"))[2])
    told.marks, told.loads_ms = 0, []
    await asyncio.sleep(given.seconds)
    busy = json.loads((await plain.ask("/api/figures"))[2])
    answer["with_pages"] = {
        "streams": told.streams,
        "followers": busy["followers"],
        "marks_a_second": round(told.marks / given.seconds, 1),
        "reload": spread(told.loads_ms),
        "loop_late": spread(busy["late_ms"]),
        "rss_mb": round(busy["rss_mb"], 1),
        "kB_a_page": round((busy["rss_mb"] - quiet["rss_mb"]) * 1000 / given.pages, 1),
        "cpu_share": round((busy["cpu_s"] - began["cpu_s"]) / given.seconds, 3),
        "lag_records": busy["lag"],
    }
    answer["pages_with_pages"] = await pages()
    for task in tasks:
        task.cancel()
    failed = [
        result for result in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(result, Exception)
    ]
    answer["with_pages"]["failed"] = len(failed)
    answer["with_pages"]["answers"] = dict(sum((each.seen for each in sessions), Counter()))
    await asyncio.sleep(3)
    answer["followers_left"] = json.loads((await plain.ask("/api/figures"))[2])["followers"]
    return answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=30_000)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tenth of the devices, a third of the time")
    parser.add_argument("--only", default="", help="(for make bench) another one's name: nothing is measured")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only not in ("", "desk"):
        return
    if given.quick:
        given.devices, given.seconds = given.devices // 10, 20
    if given.serve:
        import uvloop

        from caretaker_collector import logs

        logs.set_up(quiet=True)
        sys.path.insert(0, str(Path(__file__).parent))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Serving(given.serve, given.devices).run())
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_world(folder, given.devices, port)
        words = [sys.executable, __file__, "--serve", name, "--devices", str(given.devices)]
        child = subprocess.Popen(words)
        try:
            answer = asyncio.run(measure(port, given, child))
        finally:
            child.kill()
            child.wait()
    if given.json:
        sys.stdout.write(json.dumps(answer) + "\n")
        return
    for name, value in answer.items():
        sys.stdout.write(f"{name}\n" if isinstance(value, dict) else f"{name:<16} {value:,}\n")
        for inner, each in value.items() if isinstance(value, dict) else ():
            said = "  ".join(f"{k} {v:,}" for k, v in each.items()) if isinstance(each, dict) else f"{each:,}"
            sys.stdout.write(f"  {inner:<14} {said}\n")


if __name__ == "__main__":
    main()
