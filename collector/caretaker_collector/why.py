"""`caretaker why`: what was decided about one machine, by which rule, on which inputs, and what came of it (I8)."""

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from caretaker_contract.messages import OutcomeReason, Step
from caretaker_contract.topics import Address
from caretaker_rules.energy import Decision
from caretaker_rules.model import Estate

Clock = Callable[[int], str]


class CommandStory(Struct, kw_only=True):
    """What became of a command."""

    id: str
    asked_ms: int
    status: str
    reason: str
    steps: list[tuple[int, str, str]] = field(default_factory=list)  # (when, step, reason)


class Told(Struct, kw_only=True):
    """One decision and, when it led to one, its command."""

    decision: Decision
    command: CommandStory | None = None


class WhyAnswer(Struct, kw_only=True):
    """Decisions about one device, newest first; the first is the one in force at the time asked for."""

    device: str
    title: str
    time_zone: str
    checked_ms: int  # when the rules of this school last ran
    told: list[Told] = field(default_factory=list)


def ask(db: sqlite3.Connection, estate: Estate, address: Address, at_ms: int | None, limit: int = 5) -> WhyAnswer:
    """The newest `limit` decisions about a device up to `at_ms` (None: up to now)."""
    school = estate.schools.get(address.school)
    device = estate.devices.get(address)
    row = db.execute("SELECT at_ms FROM checks WHERE school = ?", (address.school,)).fetchone()
    answer = WhyAnswer(
        device=str(address),
        title=_title(estate, address) if device else "not in the asset register",
        time_zone=school.time_zone if school else "UTC",
        checked_ms=row[0] if row else 0,
    )
    rows = db.execute(
        "SELECT decision FROM decisions WHERE school = ? AND device = ? AND at_ms <= ? ORDER BY id DESC LIMIT ?",
        (address.school, address.device, 2**62 if at_ms is None else at_ms, limit),
    ).fetchall()
    for (blob,) in rows:
        decision = msgspec.json.decode(blob, type=Decision)
        answer.told.append(Told(decision=decision, command=_command(db, address, decision.at_ms)))
    return answer


def command_of_rule(db: sqlite3.Connection, address: Address, rule: str, from_ms: int) -> CommandStory | None:
    """The first command to a machine that this rule, or order, made since then. None: there is none."""
    row = db.execute(
        "SELECT id, decided_ms, status, reason FROM commands "
        "WHERE school = ? AND device = ? AND decided_ms >= ? AND rule = ? ORDER BY decided_ms LIMIT 1",
        (address.school, address.device, from_ms, rule),
    ).fetchone()
    return _story(db, row) if row is not None else None


def _command(db: sqlite3.Connection, address: Address, decided_ms: int) -> CommandStory | None:
    row = db.execute(
        "SELECT id, decided_ms, status, reason FROM commands WHERE school = ? AND device = ? AND decided_ms = ?",
        (address.school, address.device, decided_ms),
    ).fetchone()
    return _story(db, row) if row is not None else None


def _story(db: sqlite3.Connection, row: tuple[str, int, str, str]) -> CommandStory:
    return CommandStory(id=row[0], asked_ms=row[1], status=row[2], reason=row[3], steps=steps_of(db, row[0]))


def steps_of(db: sqlite3.Connection, command: str) -> list[tuple[int, str, str]]:
    """When a command took which step, and why, in their order: some machines take two in the same millisecond."""
    rows = db.execute("SELECT at_ms, step, reason FROM command_steps WHERE id = ?", (command,)).fetchall()
    return sorted(rows, key=lambda row: (row[0], list(Step).index(row[1])))


def _title(estate: Estate, address: Address) -> str:
    device, school = estate.devices[address], estate.schools[address.school]
    room = next((room.title for room in school.rooms if room.name == device.room and room.title), device.room)
    return f"{device.device_class.replace('_', ' ')} · {room} · {school.title}"


def render(answer: WhyAnswer) -> str:
    """The answer as people read it: times are the school's local time, with the date when not that of the first."""
    zone = ZoneInfo(answer.time_zone)
    lines = [f"{answer.device} · {answer.title}"]
    if not answer.told:
        lines.append(
            "  nothing was decided about it yet: no rule's policy covers its school, or the collector has not run"
            if not answer.checked_ms
            else "  nothing was decided about it up to that time"
        )
        return "\n".join(lines)
    today = _local(answer.told[0].decision.at_ms, zone).date()

    def clock(at_ms: int) -> str:
        moment = _local(at_ms, zone)
        return moment.strftime("%H:%M:%S" if moment.date() == today else "%a %d %b %H:%M:%S")

    lines[0] += f" · {today:%a %d %b %Y}"
    for told in answer.told:
        lines += _told(told, clock)
    if answer.checked_ms:
        lines.append(f"rules last ran {clock(answer.checked_ms)}; a decision is written when it or its reasons change")
    return "\n".join(lines)


def _told(told: Told, clock: Clock) -> list[str]:
    decision = told.decision
    verdict = decision.verdict.value.replace("_", " ")
    head = f"{clock(decision.at_ms)}  {verdict.upper() if told.command else verdict}"
    if decision.rule:
        head += (
            f" by rule {decision.rule} ({decision.policy_file}:{decision.rule_line}, version {decision.policy_version})"
        )
    if told.command is not None:
        head += ", " + story(told.command, clock)
    lines = [head]
    for reason in decision.reasons:
        age = f"   (report {reason.age_s} s old)" if reason.age_s is not None else ""
        lines.append(f"    {reason}{age}")
    return lines


_NOTES = {OutcomeReason.USER_INPUT.value: "somebody there said no", OutcomeReason.IN_USE.value: "in use"}


def story(command: CommandStory, clock: Clock) -> str:
    """What became of a command: "asked 16:39:55, warned 16:39:56, done 16:41:57"."""
    words = [f"asked {clock(command.asked_ms)}"]
    for at_ms, step, reason in command.steps:
        note = f" ({_NOTES.get(reason, reason.replace('_', ' '))})" if reason != "none" else ""
        words.append(f"{step} {clock(at_ms)}{note}" if step != "received" else step)
    if command.status in ("decided", "sending", "sent", "expired", "no_answer", "withdrawn"):
        words.append(command.status.replace("_", " "))
    return ", ".join(words)


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, zone)


def read_time(text: str, around_ms: int, zone: ZoneInfo) -> int:
    """UTC ms of a local "16:41", "16:41:55" (the last up to `around_ms`) or "2026-10-06 16:41"; else ValueError."""
    for form in ("%H:%M:%S", "%H:%M"):
        try:
            clock = datetime.strptime(text, form).time()  # noqa: DTZ007 (a time of day has no zone)
        except ValueError:
            continue
        around = _local(around_ms, zone)
        moment = datetime.combine(around.date(), clock, zone)
        if moment > around + timedelta(minutes=1):
            moment -= timedelta(days=1)
        return int(moment.timestamp() * 1000) + (59_999 if form == "%H:%M" else 999)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.timestamp() * 1000)
