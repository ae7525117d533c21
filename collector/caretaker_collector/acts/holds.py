"""Actions on what people write down: hold, freeze, maintenance, silence; end, end_once and copy. Over `records.py`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from caretaker_collector import ledger, people, records
from caretaker_collector.acts import known, places, words
from caretaker_collector.acts.base import (
    MACHINES,
    ActBody,
    Action,
    BadBody,
    Ctx,
    Done,
    NotAllowed,
    Reason,
    ReasonBody,
    by,
    said,
)
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.order_book import Scope
from caretaker_collector.record_words import day_time, standing, times
from caretaker_collector.records import Kind, Record
from caretaker_collector.stages.recall import called_back
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk.views import Answered, Offer
from caretaker_rules.alert_steps.silence import covers
from caretaker_rules.calendar import local
from caretaker_rules.model import Device, Hold
from caretaker_rules.repeats import Every, Series
from caretaker_rules.roles import Permission

HOUR_MS = 3_600_000
EVERY: dict[str, Every] = {"daily": "day", "weekly": "week"}
REPEATS: dict[Every, str] = {every: word for word, every in EVERY.items()}
_LOCAL = 'Local time: "18:00" (the next one) or "2026-10-06 18:00".'
Until = Annotated[str, Meta(min_length=1, max_length=20, title="Until", description=_LOCAL, extra={"kind": "time"})]
Begin = Annotated[
    str, Meta(max_length=20, title="From", description=f"{_LOCAL} Empty: now.", extra={"kind": "time"})
]  # fmt: skip
OfClass = Annotated[
    str, Meta(max_length=64, title="Only of class", description="Empty: every machine.", extra={"kind": "choice"})
]  # fmt: skip


class RecordBody(ActBody, frozen=True, kw_only=True):
    """What is written down: where, when, why, and whether it comes again."""

    until: Until
    from_: Begin = msgspec.field(default="", name="from")
    reason: Reason
    repeat: Annotated[
        Literal["", "daily", "weekly"], Meta(title="Comes again", description="The same hours each day or week.")
    ] = ""
    until_date: Annotated[
        str,
        Meta(
            max_length=10, title="Last day", description="The last day on which it begins again: 2026-12-18.",
            extra={"kind": "day"},
        ),
    ] = ""  # fmt: skip
    class_: OfClass = msgspec.field(default="", name="class")


class CopyBody(ActBody, frozen=True, kw_only=True):
    """The same once more, at another time. `reason` "": the same."""

    until: Until
    from_: Begin = msgspec.field(default="", name="from")
    reason: Annotated[
        str, Meta(max_length=200, title="Why", description="Empty: the same reason as before.", extra={"kind": "text"})
    ] = ""


def scope_of(ctx: Ctx, device_class: str) -> Scope:
    """The machines of the place, of one class if it is given. BadBody when there is no such class."""
    with _meant():
        return people.scope(ctx.estate, ctx.place.text, device_class or None)


@contextmanager
def _meant() -> Iterator[None]:
    """What cannot be meant within is a fault of what was filled in."""
    try:
        yield
    except ConfigError as error:
        raise BadBody(error.faults) from None


def _series(ctx: Ctx, body: RecordBody | CopyBody) -> Series:
    """When it is on. BadBody says which of the times cannot be meant."""
    with _meant():
        zone = words.zone_at(ctx.estate, ctx.place.school)
        from_ms = people.moment("--from", body.from_, ctx.now_ms, zone) if body.from_ else ctx.now_ms
        repeat, until_date = (body.repeat, body.until_date) if isinstance(body, RecordBody) else ("", "")
        if until_date and not repeat:
            raise ConfigError(["--until-date  needs --repeat daily or --repeat weekly"])
        until_ms = people.moment("--until", body.until, from_ms, zone)
        every, last_day = EVERY[repeat] if repeat else None, _day(until_date)
        series = Series(from_ms=from_ms, until_ms=until_ms, time_zone=str(zone), every=every, last_day=last_day)
        records.check(series, ctx.now_ms)
        return series


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError([f"--until-date {text!r}  is no day; write it as 2026-12-18"]) from None


def _some_machine(ctx: Ctx, scope: Scope) -> list[Device]:
    """The machines that are meant; where there are none nothing is done (I5)."""
    devices = scope.devices(ctx.estate)
    if not devices:
        raise ConfigError([f"{scope}  no machine of the register is meant, so nothing is done"])
    return devices


def _make(ctx: Ctx, kind: Kind, scope: Scope, series: Series, reason: str) -> Done:
    """Write it down, and say so."""
    devices = _some_machine(ctx, scope)
    zone = ZoneInfo(series.time_zone)
    number = records.make(ctx.db, kind, scope, series, reason, by(ctx), ctx.now_ms)
    when = times(series, zone)
    lines = [f"{kind} {number}: {words.meant(kind, str(scope), when)} ({reason})"]
    count = words.machines(len(devices))
    lines.append(
        f"{count}; incidents are recorded meanwhile, and told afterwards if they are still open"
        if kind == "silence"
        else count
    )
    undo = Offer(action="end", label="Take it back", place=str(number))
    return Done(Answered(lines=lines, link=f"/records/{number}", undo=undo), noted=f"{when}: {reason}", number=number)


def _look(ctx: Ctx, kind: Kind, scope: Scope, series: Series) -> Done:
    """What it would touch."""
    devices = _some_machine(ctx, scope)
    zone = ZoneInfo(series.time_zone)
    title, when = places.title_of(ctx.estate, scope), times(series, zone)
    coming = Hold(
        id=0,
        kind=kind,
        school=scope.school,
        room=scope.room,
        device=scope.device,
        device_class=scope.device_class,
        from_ms=series.from_ms,
        until_ms=series.until_ms,
        reason="",
    )
    of_class = f" of class {scope.device_class}" if scope.device_class else ""
    if kind == "silence":
        names = {device.name: device for device in ctx.estate.devices.values() if device.school == scope.school}
        open_now = incident_book.open_ones(ctx.db, scope.school)
        covered = [one.name for one in open_now if covers(coming, one, names)] if series.from_ms <= ctx.now_ms else []
        lines = [f"Nobody is told of incidents of {words.machines(len(devices))}{of_class} in {title} {when}."]
        lines.append(
            f"Open now and silenced: {words.some(covered)}." if covered else "No open incident is silenced by it now."
        )
        lines.append("Incidents are recorded all the same, and told afterwards if they are still open.")
        return said(*lines)
    found = known.states(ctx.db, scope.school, devices)
    stay = "stays as it is" if len(devices) == 1 else "stay as they are"
    lines = [f"{words.machines(len(devices))}{of_class} in {title} {stay} {when}: {known.in_words(found)}."]
    if scope.device:
        lines = [f"{title} {stay} {when}; it is {known.in_words(found).partition(' ')[2]} now."]
    down = len(called_back(ledger.can_still_switch(ctx.db, ctx.now_ms), ctx.estate, [coming], []))
    if down:
        lines.append(f"{words.machines(down)} counting down now {'is' if down == 1 else 'are'} called back.")
    meant = {device.address for device in devices}
    for hold in records.in_force(ctx.db, ctx.now_ms, ctx.now_ms):
        also = [device for device in devices if hold.covers(device)]
        if also and hold.from_ms <= ctx.now_ms:
            all_of = "all of them" if len(also) == len(meant) else words.machines(len(also))
            lines.append(f"Kept already: {all_of}, by {hold.kind} {hold.id} until {day_time(hold.until_ms, zone)}.")
    if kind == "freeze":
        lines.append("Nothing is switched there meanwhile: machines that are off are not woken either.")
    return said(*lines)


def _recording(kind: Kind, label: str, title: str, explains: str, permission: Permission, ahead_ms: int) -> Action:
    """The action that writes down a record of this kind. `ahead_ms`: how long its form suggests."""

    def do(ctx: Ctx, body: RecordBody) -> Done:
        return _make(ctx, kind, scope_of(ctx, body.class_), _series(ctx, body), body.reason)

    def preview(ctx: Ctx, body: RecordBody) -> Done:
        return _look(ctx, kind, scope_of(ctx, body.class_), _series(ctx, body))

    return Action(
        name=kind,
        label=label,
        title=title,
        explains=explains,
        permission=permission,
        kinds=MACHINES,
        body=RecordBody,
        preview=preview,
        do=do,
        defaults=lambda ctx: {"until": soon(ctx, ahead_ms)},
        choices={"class": classes, "repeat": lambda ctx: [("", "no"), ("daily", "each day"), ("weekly", "each week")]},
    )


def soon(ctx: Ctx, ahead_ms: int) -> str:
    """A moment in a while, on five minutes, as a form takes it."""
    step_ms = 300_000
    return words.typed(-(-(ctx.now_ms + ahead_ms) // step_ms) * step_ms, words.zone_at(ctx.estate, ctx.place.school))


def classes(ctx: Ctx) -> list[tuple[str, str]]:
    """The classes of machines that there are at the place; none when all are of one."""
    found = sorted({device.device_class for device in ctx.scope.devices(ctx.estate)})
    if len(found) < 2:
        return []
    return [("", "every machine"), *((name, name.replace("_", " ")) for name in found)]


def _may_end(ctx: Ctx) -> None:
    """Who may hold ends the holds that they wrote; what else there is takes more."""
    own = ctx.record.kind == "hold" and ctx.record.by == ctx.who.name
    if not own and Permission.RECORDS not in ctx.who.may:
        raise NotAllowed(
            [f"{ctx.record.kind} {ctx.record.id}  was written by {ctx.record.by}; you may end your own holds only"]
        )


def _may_copy(ctx: Ctx) -> None:
    if ctx.record.kind != "hold" and Permission.RECORDS not in ctx.who.may:
        raise NotAllowed([f"{ctx.record.kind} {ctx.record.id}  may be copied by those who write such records only"])


def again(record: Record, now_ms: int) -> Offer | None:
    """The way back from ending it: the same once more. None: it is over by itself.

    What repeats and is on now comes back for the rest of this time only: begun now, it would repeat at other hours.
    """
    present = record.next_time(now_ms)
    if present is None:
        return None
    series, zone, number = record.series, ZoneInfo(record.series.time_zone), str(record.id)
    begins = {"from": words.typed(present[0], zone)} if present[0] > now_ms else {}
    fields = {**begins, "until": words.typed(present[1], zone), "reason": record.reason}
    if series.every is None or series.last_day is None:
        return Offer(action="copy", label="Write it down again", place=number, fields=fields)
    if not begins:
        return Offer(action="copy", label="Write it down again for this time", place=number, fields=fields)
    fields |= {"repeat": REPEATS[series.every], "until_date": series.last_day.isoformat()}
    if record.scope.device_class:
        fields["class"] = record.scope.device_class
    return Offer(action=record.kind, label="Write it down again", place=places.text_of(record.scope), fields=fields)


def _ending(once: bool) -> Action:
    """End it for good, or only the time that is on now."""

    def do(ctx: Ctx, body: ReasonBody) -> Done:
        record = ctx.record
        undo = again(record, ctx.now_ms)
        link = f"/records/{record.id}"
        if not records.end(ctx.db, record, ctx.now_ms, once):
            state = "not on" if once and record.next_time(ctx.now_ms) else "over already"
            return said(f"{record.kind} {record.id} was {state}", ok=False, link=link)
        again_ = " for this time; it comes again" if once and record.series.every else ""
        line = f"{record.kind} {record.id} of {record.scope} ended{again_}"
        return Done(
            Answered(lines=[line], link=link, undo=undo), noted=f"{record.reason}: {body.reason}", number=record.id
        )

    def preview(ctx: Ctx, body: ReasonBody) -> Done:
        record, zone = ctx.record, words.zone_at(ctx.estate, ctx.place.school)
        present = record.next_time(ctx.now_ms)
        name = f"{record.kind} {record.id}"
        if present is None or (once and present[0] > ctx.now_ms):
            return said(f"{name} is {'not on' if present else 'over already'}.", ok=False)
        count = words.machines(len(record.scope.devices(ctx.estate)))
        within = "" if record.scope.device else f"{count} in "
        comes = once and record.series.every is not None
        place = ctx.place.title.removeprefix(f"{name} of ")
        head = f"{name} ({record.reason}) of {within}{place} ends now"
        lines = [f"{head}{', and comes again' if comes else ''}: {standing(record, ctx.now_ms, zone)}."]
        if record.kind == "silence":
            lines.append("What is still open there is told.")
        else:
            lines.append("Rules decide there again; what else is held stays held.")
        return said(*lines)

    return Action(
        name="end_once" if once else "end",
        label="End for this time" if once else "End",
        title="End {place} for this time" if once else "End {place}",
        explains="Only the time that is on now ends; it comes again."
        if once
        else "It ends now and for good; rules decide there again.",
        permission=Permission.HOLD,
        kinds=("record",),
        body=ReasonBody,
        preview=preview,
        do=do,
        needs=_may_end,
    )


def _copy(ctx: Ctx, body: CopyBody) -> Done:
    record = ctx.record
    return _make(ctx, record.kind, record.scope, _series(ctx, body), body.reason or record.reason)


def _copy_preview(ctx: Ctx, body: CopyBody) -> Done:
    return _look(ctx, ctx.record.kind, ctx.record.scope, _series(ctx, body))


def _copy_defaults(ctx: Ctx) -> Mapping[str, str]:
    """The same hours, today or tomorrow."""
    series, zone = ctx.record.series, words.zone_at(ctx.estate, ctx.place.school)
    return {
        "from": f"{local(series.from_ms, zone):%H:%M}",
        "until": f"{local(series.until_ms, zone):%H:%M}",
        "reason": ctx.record.reason,
    }


ACTIONS = (
    _recording(
        "hold",
        "Hold",
        "Keep {place} on",
        "No rule and no order switches these machines off until then; what is off stays off.",
        Permission.HOLD,
        HOUR_MS,
    ),
    _recording(
        "freeze",
        "Freeze",
        "Exam freeze of {place}",
        "Nothing may be switched there until then, on or off.",
        Permission.RECORDS,
        2 * HOUR_MS,
    ),
    _recording(
        "maintenance",
        "Maintenance",
        "Work on {place}",
        "Somebody works there: machines stay on, no incident is opened, and the time is not counted as down.",
        Permission.RECORDS,
        2 * HOUR_MS,
    ),
    _recording(
        "silence",
        "Silence",
        "Tell nobody of incidents at {place}",
        "Nobody is told of incidents there until then; they are recorded all the same. It keeps no machine on.",
        Permission.RECORDS,
        2 * HOUR_MS,
    ),
    _ending(once=False),
    _ending(once=True),
    Action(
        name="copy",
        label="Copy",
        title="Copy {place}",
        explains="The same machines and kind once more, at another time; what it repeated is not copied.",
        permission=Permission.HOLD,
        kinds=("record",),
        body=CopyBody,
        preview=_copy_preview,
        do=_copy,
        needs=_may_copy,
        defaults=_copy_defaults,
    ),
)
