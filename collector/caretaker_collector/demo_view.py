"""What the demo shows on a terminal: the fleet, the stream, energy, and the newest decisions with their reasons."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from caretaker_collector import demo_accounts, demo_reviews
from caretaker_collector.files.desk_table import address_of
from caretaker_collector.http import fleet_states
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.past.story import ZONE
from caretaker_contract.messages import Meters, PowerState
from caretaker_contract.topics import Address
from caretaker_rules import alert_text
from caretaker_rules.alerting import Telling
from caretaker_rules.energy import Decision, Verdict
from caretaker_rules.reasons import Why, duration

if TYPE_CHECKING:
    from caretaker_collector.demo import Demo, DemoResult

SHOWN = (PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF, PowerState.LOST, PowerState.UNKNOWN)
STYLES = {
    PowerState.IN_USE: "green",
    PowerState.IDLE: "yellow",
    PowerState.ASLEEP: "cyan",
    PowerState.OFF: "blue",
    PowerState.LOST: "bold red",
    PowerState.UNKNOWN: "magenta",
}
EVENTS = 10
ENDINGS = {
    "done": "green",
    "vetoed": "yellow",
    "failed": "red",
    "refused": "yellow",
    "no_answer": "red",
    "expired": "red",
}


def look_at_this_first(demo: "Demo") -> str:
    """Seven lines for a newcomer, and how to sign in to the desk."""
    where, http = demo.out.name, demo.collector.settings.http
    people = "".join(f"    {one.name:<10} {one.password}   {one.about}\n" for one in demo.accounts)
    return (
        "Look at this first\n"
        f"  desk {desk_address(demo)}   sign in as one of these (also in {where}/{demo_accounts.FILE})\n"
        f"{people}"
        f"  1 two schools and this machine, {demo.clock.speed:.0f} times as fast: idle machines are asked to go\n"
        "  2 why was one switched off, or left on?   caretaker why ash/lib-17    (or here/this-machine)\n"
        "  3 keep a room on:                         caretaker hold ash/lib --until 18:00 --reason club\n"
        "  4 stop everything, and go on:             caretaker stop all --reason look; caretaker resume all\n"
        "  5 at 16:31 a switch dies: what is wrong now?  caretaker incidents    (who is told: alerts.log)\n"
        f"  6 its own health: http://{http.host}:{http.port}/healthz and /metrics; all files are in {where}/\n"
        f"  7 last month's review: {demo_reviews.state(demo)}\n"
    )


def desk_address(demo: "Demo") -> str:
    """Where the desk is."""
    return address_of(demo.collector.settings)


def boards_on_this(demo: "Demo") -> str:
    """How to point a Grafana at what the demo stores; "" where that is no InfluxDB."""
    store = demo.collector.settings.store
    if store.kind != "influx":
        return ""
    begins = datetime.fromtimestamp(demo.clock.now_ms() / 1000, ZONE)
    return (
        "Boards on these data, in any Grafana that reaches the store\n"
        "  data source   InfluxDB, query language InfluxQL\n"
        f"  url           {store.url}\n"
        f"  database      {store.bucket}\n"
        f"  access        header Authorization: Token TOKEN, the one in {store.token_file}\n"
        "                (versions 1 and 3 also take any user, such as caretaker, with it as the password)\n"
        "  boards        caretaker boards push http://127.0.0.1:3000 --token-file FILE   (a token of Grafana's)\n"
        f"  time range    the demo's own clock: it is {begins:%a} {begins.day} {begins:%B %Y %H:%M} now\n"
        "                (choose that in Grafana: of any other time nothing is known)\n"
    )


async def watch(demo: "Demo", quiet: bool) -> None:
    """Redraw twice a second on a terminal; elsewhere say a line every few seconds; nothing when `quiet`."""
    screen = Screen(demo)
    if quiet:
        return
    console = Console()
    if console.is_terminal:
        with Live(screen.draw(), console=console, refresh_per_second=4, transient=False) as live:
            while True:
                await asyncio.sleep(0.5)
                live.update(screen.draw())
    while True:
        await asyncio.sleep(5)
        sys.stdout.write(screen.line() + "\n")
        sys.stdout.flush()


class Screen:
    """Draws the state of a running demo."""

    def __init__(self, demo: "Demo") -> None:
        self._demo = demo
        self._collector = demo.collector
        self._first_meters: dict[Address, Meters] = {}

    def draw(self) -> Group:
        """The whole screen."""
        return Group(self._head(), self._fleet(), *self._figures(), Text(""), *self._events())

    def line(self) -> str:
        """One line for a log."""
        counts = self._collector.memory.counts
        states = self._states()
        words = "  ".join(f"{state.value.replace('_', ' ')} {states[state]}" for state in SHOWN if states[state])
        return (
            f"{self._now():%a %d %b %H:%M:%S}  {words}  reports {counts['reports']}  sent {counts['commands_sent']}  "
            f"incidents {len(incident_book.open_ones(self._collector.db))}  lag {self._collector.lag}"
        )

    def _states(self) -> Counter[PowerState]:
        return Counter(fleet_states(self._collector).values())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._demo.clock.now_ms() / 1000, ZONE)

    def _head(self) -> Text:
        estate = self._collector.estate
        return (
            Text(
                f"Caretaker demo · {len(estate.schools)} schools · {len(estate.devices)} devices · "
                f"clock x{self._demo.clock.speed:.0f} · {self._now():%a %d %b %Y %H:%M:%S}      Ctrl-C to end",
                style="bold",
            )
            .append(
                f"\ndesk  {desk_address(self._demo)}      passwords  {self._demo.out.name}/{demo_accounts.FILE}", ""
            )
            .append(f"\nreview  {demo_reviews.state(self._demo)}", "")
        )

    def _fleet(self) -> Text:
        states = self._states()
        text = Text("fleet    ")
        for state in SHOWN:
            number = states[state]
            if number or state in (PowerState.IN_USE, PowerState.IDLE, PowerState.OFF):
                text.append(f"{state.value.replace('_', ' ')} {number} ")
                text.append("#" * max(1 if number else 0, round(number / 8)) + "   ", style=STYLES[state])
        return text

    def _figures(self) -> Iterator[Text]:
        memory, collector = self._collector.memory, self._collector
        counts = memory.counts
        yield Text(
            f"stream   reports {counts['reports']:,}   stored {counts['points_written']:,} points   "
            f"quarantined {counts['quarantined']}   dropped {counts['dropped']}   "
            f"missing {memory.missing_count()}   gaps closed {counts['gaps_closed']}   lag {collector.lag}"
        )
        power_w, used_wh = self._energy()
        yield Text(
            f"energy   now {power_w / 1000:.1f} kW   used since the demo began {used_wh / 1000:.1f} kWh   "
            "(watts of each class, not metered)"
        )
        yield Text("here     " + self._this_machine())
        yield from self._wrong()
        problems = collector.problems()
        if problems:
            yield Text("trouble  " + "; ".join(f"{part}: {reason}" for part, reason in problems.items()), style="red")

    def _wrong(self) -> Iterator[Text]:
        """The gravest incident that is open, and the newest message about one."""
        found = incident_book.open_ones(self._collector.db)
        found.sort(key=lambda one: (one.priority or 0, -one.since_ms))  # Caretaker's own first: they have no priority
        said = "nothing is wrong"
        if found:
            school = self._collector.estate.schools.get(found[0].subject.school)
            place = school.title if school else "Caretaker itself"
            priority = f"P{found[0].priority} " if found[0].priority is not None else ""
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            said = f"{priority}{place} · {alert_text.short(found[0])}{more}"
        yield Text(f"incident {said}   (caretaker incidents)", style="red" if found else "")
        row = self._collector.db.execute(
            "SELECT telling FROM tellings WHERE uid != '' ORDER BY made_ms DESC, id LIMIT 1"
        ).fetchone()
        if row is not None:
            told = msgspec.json.decode(row[0], type=Telling)
            yield Text(f"told     {self._clock(told.made_ms)} {told.channel}: {told.title}")

    def _energy(self) -> tuple[float, float]:
        """(W drawn now, Wh since the start) of devices that are on, by the watts of their class."""
        estate, power_w, used_wh = self._collector.estate, 0.0, 0.0
        for address, entry in self._collector.memory.entries.items():
            device, telemetry = estate.devices.get(address), entry.tracked.telemetry
            if device is None or telemetry is None:
                continue
            watts = estate.classes[device.device_class]
            by_state = {
                PowerState.IN_USE: watts.watts_in_use,
                PowerState.IDLE: watts.watts_idle,
                PowerState.ASLEEP: watts.watts_asleep,
                PowerState.OFF: watts.watts_off,
            }
            power_w += by_state.get(entry.tracked.presence.state, 0.0)
            first = self._first_meters.setdefault(address, telemetry.meters)
            now = telemetry.meters
            used_wh += (
                (now.in_use_s - first.in_use_s) * watts.watts_in_use
                + (now.idle_s - first.idle_s) * watts.watts_idle
                + (now.asleep_s - first.asleep_s) * watts.watts_asleep
            ) / 3600
        return power_w, used_wh

    def _this_machine(self) -> str:
        from caretaker_collector.demo import THIS_MACHINE

        entry = self._collector.memory.entries.get(THIS_MACHINE)
        if entry is None or entry.tracked.telemetry is None:
            return "this machine's agent is starting"
        gauges = entry.tracked.telemetry.gauges
        idle = f"idle {duration(gauges.idle_s)}" if gauges.idle_s is not None else "cannot tell idle time, so in use"
        up = f", up {duration(gauges.uptime_s)}" if gauges.uptime_s is not None else ""
        return f"this machine: {entry.tracked.presence.state.value.replace('_', ' ')} ({idle}){up}"

    def _events(self) -> Iterator[Text]:
        rows = self._collector.db.execute(
            "SELECT decided_ms, school, device, verb, status, reason FROM commands ORDER BY decided_ms DESC LIMIT ?",
            (EVENTS,),
        ).fetchall()
        decisions = self._collector.db.execute("SELECT decision FROM decisions ORDER BY id DESC LIMIT 400").fetchall()
        told = [msgspec.json.decode(blob, type=Decision) for (blob,) in decisions]
        reasons = {(d.device, d.at_ms): d for d in told}
        shown: list[tuple[int, Text]] = []
        for decided_ms, school, device, verb, status, reason in rows:
            decision = reasons.get((Address(school, device), decided_ms))
            note = f" ({reason.replace('_', ' ')})" if reason not in ("", "none") else ""
            text = Text(f"{self._clock(decided_ms)} {school + '/' + device:<16} {verb.replace('_', ' '):<10} ")
            text.append(f"{status.replace('_', ' ') + note:<20}", style=ENDINGS.get(status, "bold"))
            text.append("; ".join(str(told) for told in decision.reasons[:2]) if decision else "")
            shown.append((decided_ms, text))
        kept_on = [d for d in told if d.verdict is Verdict.LEFT_ON and _telling(d)][: EVENTS // 2]
        for decision in kept_on:
            why = "; ".join(str(reason) for reason in decision.reasons[:2])
            text = Text(f"{self._clock(decision.at_ms)} {decision.device!s:<16} {'left on':<31}{why}", style="dim")
            shown.append((decision.at_ms, text))
        shown.sort(key=lambda pair: pair[0])
        for _, text in shown[-EVENTS - EVENTS // 2 :]:
            text.no_wrap = True
            text.overflow = "ellipsis"
            yield text

    def _clock(self, at_ms: int) -> str:
        return f"{datetime.fromtimestamp(at_ms / 1000, ZONE):%H:%M:%S}"


def _telling(decision: Decision) -> bool:
    """Whether a decision to leave on says more than "somebody uses it" or "it was just asked"."""
    dull = {
        *(Why.IN_USE, Why.NOT_IDLE_LONG_ENOUGH, Why.OUTSIDE_RULE_HOURS, Why.NO_RULE, Why.ALWAYS_ON),
        *(Why.ALREADY_ASKED, Why.ASKED_ONCE),
    }
    return not dull & {reason.why for reason in decision.reasons}


def summary(demo: "Demo", result: "DemoResult") -> str:
    """The last words, after the drain."""
    outcomes = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(result.outcomes.items()))
    agree = "all stored" if result.published == result.stored else "NOT the same: see caretaker quarantine"
    return (
        f"\n{result.devices} devices made {result.published:,} numbered messages, "
        f"{result.stored:,} are stored: {agree}\n"
        f"{result.commands_sent} commands sent: {outcomes or 'none'}\n"
        f"machines switched off while somebody used them, by the simulator's own record: {result.unsafe}\n"
        f"kept in {demo.out.name}/: try `caretaker why ash/lib-17`\n"
    )
