"""Service levels as people read them: a month, the places in it, the events behind it."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

from caretaker_collector.sla.book import Reckoned, Stated
from caretaker_collector.sla.places import Line, RollUp
from caretaker_contract.messages import Cause
from caretaker_rules import sla
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import local
from caretaker_rules.clocks import length_text
from caretaker_rules.intervals import Spans
from caretaker_rules.model import Hold, School
from caretaker_rules.sla import CreditLine, Part, Times, Verdict, day_text, hours_text
from caretaker_rules.sla_faults import Fault

_LABEL = 18
_FAILURES = {
    "availability": "percentage points below target",
    "response": "late answers",
    "fix": "late fixes",
    "room_not_ready": "lessons whose room was not ready",
}
_MOST_OUTAGES = 6
TOGETHER = "together"


def percent(ratio: float | None) -> str:
    """A ratio as "99.21 %", cut and not rounded, so that nothing looks like a target that it misses."""
    return "n/a" if ratio is None else f"{int(ratio * 10_000 + 1e-6) / 100:.2f} %"


def figure_text(figure: Figure) -> str:
    """The likely ratio, with the range where something was not seen."""
    if figure.low is None or figure.high is None:
        return "n/a"
    if figure.low == figure.high:
        return percent(figure.low)
    span = f"{percent(figure.low).removesuffix(' %')} to {percent(figure.high)}"
    return f"not seen ({span})" if figure.likely is None else f"{percent(figure.likely)} ({span})"


def gap_text(figure: Figure, target: float) -> str:
    """How far the likely ratio is from its target, in percentage points."""
    return "" if figure.likely is None else f"{(figure.likely - target) * 100:+.2f} points"


def month_name(month: str) -> str:
    """ "September 2026" """
    return f"{sla.month_days(month)[0]:%B %Y}"


def clock(at_ms: int, zone: ZoneInfo) -> str:
    """ "Tue 8 Sep 09:00" """
    at = local(at_ms, zone)
    return f"{at:%a} {at.day} {at:%b %H:%M}"


def until_text(from_ms: int, until_ms: int, zone: ZoneInfo) -> str:
    """ "Tue 8 Sep 09:00 to 11:20", with the day again where it is another."""
    same = local(from_ms, zone).date() == local(until_ms, zone).date()
    return f"{clock(from_ms, zone)} to {f'{local(until_ms, zone):%H:%M}' if same else clock(until_ms, zone)}"


def month_view(school: School, found: Reckoned, stated: Sequence[Stated], now_ms: int, watched_ms: int | None) -> str:
    """A school's month: its parts with their rules, its cost, and all that was stated of it."""
    zone = ZoneInfo(school.time_zone)
    figure = found.figure
    first, _ = sla.month_days(figure.month)
    lines = [f"{school.title} ({school.name}) · {month_name(figure.month)} · version {figure.stamp}"]
    if not found.over:
        lines[0] += f" · under way, up to {clock(now_ms, zone)}"
    if watched_ms is not None and local(watched_ms, zone).date() > first:
        lines.append(f"Caretaker has watched since {clock(watched_ms, zone)}; what lies before is in no figure")
    if found.waiting:
        days = ", ".join(day_text(date.fromisoformat(day)) for day in found.waiting[:5])
        more = f" and {len(found.waiting) - 5} more" if len(found.waiting) > 5 else ""
        lines.append(f"not final: the running collector has still to compute {days}{more} again")
    if not figure.parts:
        lines.append("n/a: no service level was agreed for this month")
    for part in figure.parts:
        lines += ["", *_part(part)]
    if len(figure.parts) > 1:
        lines += ["", f"{'whole month':<{_LABEL}}{figure.verdict.value}; credits {_cost(figure.cost)}"]
    return "\n".join([*lines, *_revisions(stated, zone)])


def _part(part: Part) -> list[str]:
    span = f"{day_text(part.first)} to {day_text(part.last)}"
    whole, lessons = part.availability.devices, part.availability.lessons
    rows = [
        ("availability", f"{figure_text(whole)}   target {percent(part.target)}   {gap_text(whole, part.target)}"),
        ("in lessons", figure_text(lessons)),
        ("owed", f"{hours_text(whole.owed_ms)} of machines, {hours_text(whole.down_ms)} of it down"),
        ("faults", f"{part.faults:,}"),
        ("answered in time", _times(part.answered)),
        ("fixed in time", _times(part.fixed)),
        ("rooms ready", _ready(part)),
        ("credits", _cost(part.cost) + (" (capped)" if part.capped else "")),
    ]
    lines = [f"{part.title}, {span}: {part.verdict.value}"]
    lines += [f"  {name:<{_LABEL}}{text}".rstrip() for name, text in rows]
    lines += [f"  {'':<{_LABEL}}{credit_text(line)}" for line in part.credits]
    return [*lines, f"  rule: {part.rule}"]


def _times(found: Sequence[Times]) -> str:
    """ "priority 1: 2 of 2 · priority 2: 3 of 4, 1 running" """
    told = []
    for each in found:
        count = each.in_time + each.late
        text = (
            f"priority {each.priority}: {each.in_time} of {count}" if count else f"priority {each.priority}: none yet"
        )
        told.append(text + (f", {each.running} running" if each.running else ""))
    return " · ".join(told) or "n/a: no incident"


def _ready(part: Part) -> str:
    if not part.lessons:
        return "n/a: no lesson was seen to begin"
    return f"{percent(part.lessons_ready / part.lessons)}   {part.lessons_ready:,} of {part.lessons:,} lessons"


def _amount(points: float, share: float) -> str:
    told = [f"{points:g} point{'' if points == 1 else 's'}"] if points else []
    told += [f"{share:g} % of the month's charge"] if share else []
    return " and ".join(told) or "none"


def _cost(cost: sla.Cost) -> str:
    text = _amount(cost.points, cost.percent)
    most = _amount(cost.most_points, cost.most_percent)
    return text if most == text else f"{text}; at most {most}, if all that nobody saw was down"


def credit_text(line: CreditLine) -> str:
    """A line of the table: what failed, and what it costs."""
    of = f" of priority {line.priority}" if line.priority is not None else ""
    costs = _amount(line.points, line.percent)
    most = _amount(line.most_points, line.most_percent)
    count = f"{line.count:.2f}" if line.failure == "availability" else f"{line.count:g}"
    return f"{count} {_FAILURES[line.failure]}{of}, for each full {line.per:g}: {costs}" + (
        f" (at most {most})" if most != costs else ""
    )


def _revisions(stated: Sequence[Stated], zone: ZoneInfo) -> list[str]:
    if not stated:
        return []
    lines = ["", "as it was shown"]
    for each in stated:
        figures = ", ".join(figure_text(part.availability.devices) for part in each.figure.parts)
        when = f"{clock(each.made_ms, zone)} {local(each.made_ms, zone).year}"
        said = f"{figures:<30}  {each.figure.verdict.value:<18}"
        lines.append(f"  {each.revision}  {when:<21}  {said}  {each.stamp}  {each.reason}")
    return lines


def roll_up_view(found: RollUp) -> str:
    """A place with what is in it, as one table."""
    whole = found.whole
    wide = max(len(each.place) for each in [whole, *found.inside]) + 2
    titles = max([len(each.title) for each in found.inside] + [len(TOGETHER)] * bool(found.inside), default=0) + 2
    lines = [
        f"{whole.title} ({whole.place}) · {month_name(found.month)}",
        f"{'':<{wide}}{'':<{titles}}{'availability':>30}{'in lessons':>30}{'target':>11}{'owed':>12}{'outages':>9}",
    ]
    lines += [_line(each, wide, titles) for each in found.inside]
    shown = [*lines, _line(whole, wide, titles, title=TOGETHER if found.inside else "")]
    notes = ["outages: of single machines, that began in the month; faults that count once: caretaker sla month SCHOOL"]
    if len(found.inside) > 1:
        counts = Counter(each.verdict for each in found.inside)
        notes.insert(0, ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]))
    return "\n".join([*shown, *notes])


def _line(line: Line, wide: int, titles: int, title: str | None = None) -> str:
    targets = ", ".join(percent(target) for target in line.targets) if len(line.targets) < 2 else "two levels"
    whole, lessons = line.sums.devices, line.sums.lessons
    name = line.title if title is None else title
    return (
        f"{line.place:<{wide}}{name:<{titles}}{figure_text(whole):>30}{figure_text(lessons):>30}{targets:>11}"
        f"{hours_text(whole.owed_ms):>12}{line.outages:>9,}  {line.verdict.value}"
    )


def events_view(
    faults: Sequence[Fault], holds: Sequence[Hold], blind: Spans, unseen: Sequence[tuple[str, Figure]], zone: ZoneInfo
) -> str:
    """What the figures came from: faults with their outages, maintenance that was left out, and blind time."""
    lines = ["", f"faults ({len(faults)}): what counts once, with all that was down because of it"]
    for fault in faults:
        lines += _fault(fault, zone)
    lines += ["", f"maintenance left out ({len(holds)}): recorded before it began"]
    lines += [
        f"  {until_text(hold.from_ms, hold.until_ms, zone)}  {_where(hold)}  {hold.reason}"
        for hold in sorted(holds, key=lambda hold: (hold.from_ms, hold.id))
    ]
    lines += ["", f"blind ({len(blind)}): Caretaker itself could not see, in hours of service"]
    lines += [f"  {until_text(begin, end, zone)}  {length_text(end - begin)}" for begin, end in blind]
    lines += ["", "machines not seen for longest" if unseen else "every machine was seen whenever it was owed"]
    lines += [
        f"  {name:<24}{hours_text(figure.unseen_ms):>10} of {hours_text(figure.owed_ms)}" for name, figure in unseen
    ]
    return "\n".join(lines)


def _fault(fault: Fault, zone: ZoneInfo) -> list[str]:
    head = fault.incident or "no incident"
    priority = f", priority {fault.priority}" if fault.priority is not None else ""
    count = f"{len(fault.devices)} machines" if len(fault.devices) > 1 else fault.devices[0]
    causes = ", ".join(cause for cause in fault.causes if cause != Cause.UNKNOWN.value)
    told = [
        fault.title + priority if fault.title else "",
        ", ".join(_WORDS.get(what, what) for what in fault.whats),
        causes,
    ]
    what = " · ".join(part for part in told if part)
    when = until_text(fault.from_ms, fault.until_ms, zone)
    lines = [f"  {head:<12} {when}  {hours_text(fault.down_ms)} down, {count}: {what}"]
    if len(fault.devices) > 1:
        shown = fault.outages[:_MOST_OUTAGES]
        lines += [f"      {each.device:<20} {until_text(each.from_ms, each.until_ms, zone)}" for each in shown]
        if len(fault.outages) > len(shown):
            lines.append(f"      and {len(fault.outages) - len(shown)} more (--json lists all)")
    return lines


_WORDS = {
    "lost": "not heard any more",
    "off": "off without a cause",
    "not_back": "not back when needed",
    "overrun": "maintenance overrun",
}


def _where(hold: Hold) -> str:
    place = "/".join(part for part in (hold.school, hold.room if not hold.device else hold.device) if part)
    return place + (f" ({hold.device_class})" if hold.device_class else "")
