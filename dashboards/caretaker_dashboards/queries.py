"""Every question that a board asks, in InfluxQL: the one language of InfluxDB 1.8, 2.x and 3.x. One function each.

- Grafana fills in $timeFilter, $__interval, $__from and the board's own variables, which stand in regular expressions
  only, so that "all" is `.*`. $network is the schools of a network as `ash|oak`: a network is no tag.
- **Groups are bounded** by schools, rooms, the machines of one room or school, classes, rules: never by a reading.
- **What is now** is the newest whole row, not the newest value of each field: a value that is missing now ("no clock
  runs") must not show what it was an hour ago.
- **A day is the school's**: points of a day stand at local midnight, and days are cut with tz().
- Ratios are those of caretaker_rules: sums are divided, never ratios averaged; availability is cut to two decimals of a
  percent, not rounded, so that nothing looks like a target that it misses.

One file, though long, on purpose: whoever changes a measurement looks here, and nowhere else, for what boards ask.
"""

from caretaker_contract.metrics import MEASUREMENTS
from caretaker_dashboards.describe import (
    GOOD,
    LEAST,
    PLAIN,
    RED,
    WATCH,
    Column,
    Link,
    Question,
    Step,
    Unit,
    red_below,
)
from caretaker_dashboards.states import LOOK, LOOKS
from caretaker_rules.shown import Shown

RAW = ("device", "transition", "command")
"""One point for each report: only for a day, one room or one machine."""
MINUTES = ("school_now", "room_now", "collector")
"""A point a minute or so: beyond a day only grouped by $__interval, or the newest row."""
TIME = "$timeFilter"
NETWORK = '"school" =~ /^($network)$/'
SCHOOL = '"school" =~ /^$school$/'
ROOM = '"room" =~ /^$room$/'
DEVICE = '"device" =~ /^$device$/'
ESTATE = f"{NETWORK} AND {SCHOOL}"
"""A network's schools, or one of them."""
DAY = "time(1d)"
ZONE = "tz('Europe/London')"
LOOK_BACK = "4d"
"""How long before the span a machine's newest change of state is looked for: a weekend and two closed days."""

NOT_RUN = "The collector has written nothing in this span. Look at the board Caretaker itself, or widen the span."
NO_DAYS = "No day is computed yet: days are rolled up within minutes of their first report. Widen the span."
NO_BASELINE = (
    "No saving can be told yet: rules must observe for two weeks first, or nothing was switched off. "
    "See caretaker savings."
)

_STATES = (
    ("in_use", Shown.IN_USE),
    ("idle", Shown.IDLE),
    ("asleep", Shown.ASLEEP),
    ("off", Shown.OFF_RULE),
    ("lost", Shown.LOST),
    ("unknown", Shown.UNKNOWN),
)
SCHOOL_LINK = Link("Open the school", "/d/caretaker-school?var-school=${__data.fields.school}&${__url_time_range}")
ROOM_LINK = Link(
    "Open the room",
    "/d/caretaker-room?var-school=${school}&var-room=${__data.fields.room}&${__url_time_range}",
)
DEVICE_LINK = Link(
    "Open the machine",
    "/d/caretaker-device?var-school=${school}&var-room=${room}&var-device=${__data.fields.device}&${__url_time_range}",
)
_LATE = red_below(0, 60)
_ANY_RED = (Step(None, PLAIN), Step(1, RED))
_ANY_WATCH = (Step(None, PLAIN), Step(1, WATCH))


def _state_columns(bar: bool = False) -> tuple[Column, ...]:
    return tuple(
        Column(name, LOOK[shown].label if name != "off" else "off", colour=LOOK[shown].colour, bar=bar)
        for name, shown in _STATES
    )


def _fields(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _tag(name: str, title: str = "", link: Link | None = None, width: int | None = None) -> Column:
    return Column(name, title, Unit.WORD, None, link=link, width=width)


_TIME = Column("Time", "as of", Unit.AGO, None, width=130)
_HIDE_TIME = Column("Time", "", Unit.AGO, None, hidden=True)


# --- now ------------------------------------------------------------------------------------------------------------


def machines_now(where: str = ESTATE) -> Question:
    """How many machines are in each state now, over all schools asked for."""
    names = tuple(name for name, _ in _STATES)
    sums = ", ".join(f'SUM("{name}") AS "{name}"' for name in names)
    lasts = ", ".join(f'LAST("{name}") AS "{name}"' for name in names)
    inner = f'SELECT {lasts} FROM "school_now" WHERE {TIME} AND {where} GROUP BY "school"'
    return Question(f"SELECT {sums} FROM ({inner})", _state_columns(), NOT_RUN, alias="$col")


def incidents_now(where: str = ESTATE) -> Question:
    """Open incidents by priority."""
    fields = ("open_p1", "open_p2", "open_p3", "open_p4", "open_none")
    sums = ", ".join(f'SUM("{name}") AS "{name}"' for name in fields)
    lasts = ", ".join(f'LAST("{name}") AS "{name}"' for name in fields)
    inner = f'SELECT {lasts} FROM "school_now" WHERE {TIME} AND {where} GROUP BY "school"'
    columns = (
        Column("open_p1", "priority 1", steps=_ANY_RED),
        Column("open_p2", "priority 2", steps=_ANY_RED),
        Column("open_p3", "priority 3", steps=_ANY_WATCH),
        Column("open_p4", "priority 4", steps=_ANY_WATCH),
        Column("open_none", "no priority", steps=_ANY_WATCH),
    )
    return Question(f"SELECT {sums} FROM ({inner})", columns, NOT_RUN, alias="$col")


def schools_now(where: str = ESTATE) -> Question:
    """Each school's newest row: readiness, incidents, time left, mode."""
    fields = (
        "lessons_ready",
        "lessons",
        "open_p1",
        "open_p2",
        "open_p3",
        "open_p4",
        "fix_left_min",
        "lost",
        "mode",
        "stopped",
        "blind",
    )
    text = f'SELECT {_fields(fields)} FROM "school_now" WHERE {TIME} AND {where}'
    columns = (
        _TIME,
        _tag("school", link=SCHOOL_LINK),
        Column("lessons_ready", "rooms ready", often_none=True, none="blind"),
        Column("lessons", "of lessons now"),
        Column("open_p1", "P1", steps=_ANY_RED, width=70),
        Column("open_p2", "P2", steps=_ANY_RED, width=70),
        Column("open_p3", "P3", steps=_ANY_WATCH, width=70),
        Column("open_p4", "P4", steps=_ANY_WATCH, width=70),
        Column(
            "fix_left_min",
            "time left to fix",
            Unit.MINUTES,
            None,
            steps=_LATE,
            often_none=True,
            none="no clock",
            decimals=0,
        ),
        Column("lost", "lost", steps=_ANY_RED),
        Column(
            "mode",
            "rules",
            Unit.WORD,
            None,
            often_none=True,
            none="no policy",
            words=(("observe", "observe only", ""), ("trial", "trial", ""), ("live", "live", "")),
        ),
        Column("stopped", "stop switch", Unit.YES_NO, None, words=(("true", "stopped", WATCH), ("false", "no", ""))),
        Column("blind", "blind", Unit.YES_NO, None, words=(("true", "blind", RED), ("false", "no", ""))),
    )
    return Question(f'{text} GROUP BY "school" ORDER BY time DESC LIMIT 1', columns, NOT_RUN, table=True)


def states_by_school(where: str = ESTATE) -> Question:
    """Each school's machines by state, newest row."""
    fields = tuple(name for name, _ in _STATES)
    text = f'SELECT {_fields(fields)} FROM "school_now" WHERE {TIME} AND {where}'
    columns = (_HIDE_TIME, _tag("school"), *_state_columns())
    return Question(f'{text} GROUP BY "school" ORDER BY time DESC LIMIT 1', columns, NOT_RUN, table=True)


def school_states_over_time() -> Question:
    """A school's machines by state over time."""
    means = ", ".join(f'MEAN("{name}") AS "{name}"' for name, _ in _STATES)
    text = f'SELECT {means} FROM "school_now" WHERE {TIME} AND {SCHOOL} GROUP BY time($__interval) fill(none)'
    return Question(text, _state_columns(), NOT_RUN, alias="$col")


def rooms_now() -> Question:
    """Each room of a school, newest row."""
    fields = (*(name for name, _ in _STATES), "lesson", "held")
    text = f'SELECT {_fields(fields)} FROM "room_now" WHERE {TIME} AND {SCHOOL}'
    yes_no = (("true", "yes", ""), ("false", "no", ""))
    columns = (
        _TIME,
        _tag("room", link=ROOM_LINK),
        *_state_columns(),
        Column("lesson", "lesson now", Unit.YES_NO, None, words=yes_no),
        Column("held", "held", Unit.YES_NO, None, words=yes_no),
    )
    return Question(f'{text} GROUP BY "room" ORDER BY time DESC LIMIT 1', columns, NOT_RUN, table=True)


# --- ready for lessons ----------------------------------------------------------------------------------------------

NO_LESSON = "No lesson began in this span, or no room has a timetable. See caretaker calendar SCHOOL."


def rooms_ready() -> Question:
    """Each room at the start of its newest lesson."""
    text = f'SELECT "ready", "total", "ready" / "total" AS "share" FROM "room_ready" WHERE {TIME} AND {SCHOOL}'
    columns = (
        Column("Time", "lesson began", Unit.DATE, None, width=170),
        _tag("room", link=ROOM_LINK),
        Column("ready", "machines on"),
        Column("total", "of"),
        Column("share", "ready", Unit.RATIO, 0, 1, 0, steps=red_below(0.8, 0.95), bar=True),
    )
    return Question(f'{text} GROUP BY "room" ORDER BY time DESC LIMIT 1', columns, NO_LESSON, table=True)


def ready_share_by_school(where: str = ESTATE) -> Question:
    """Machines on at the start of lessons, of all that lessons needed, in the span."""
    text = f'SELECT SUM("ready") / SUM("total") AS "share" FROM "school_day" WHERE {TIME} AND {where} GROUP BY "school"'
    columns = (Column("share", "machines ready", Unit.RATIO, 0, 1, 1, steps=_READY),)
    return Question(text, columns, NO_LESSON, alias="$tag_school")


_READY = red_below(0.9, 0.97)


def ready_share_by_day(where: str = ESTATE) -> Question:
    """The same for each day."""
    text = f'SELECT SUM("ready") / SUM("total") AS "share" FROM "school_day" WHERE {TIME} AND {where}'
    columns = (Column("share", "machines ready", Unit.RATIO, 0, 1, 1),)
    return Question(f"{text} GROUP BY {DAY} fill(none) {ZONE}", columns, NO_LESSON, alias="machines ready")


def room_ready_over_time() -> Question:
    """A room at the start of each of its lessons."""
    text = f'SELECT "ready", "total" FROM "room_ready" WHERE {TIME} AND {SCHOOL} AND {ROOM}'
    columns = (Column("ready", "machines on"), Column("total", "machines"))
    return Question(text, columns, NO_LESSON, alias="$col")


# --- incidents ------------------------------------------------------------------------------------------------------

NO_INCIDENT = "No incident changed in this span: nothing was wrong that Caretaker knows of."
_INCIDENT = ("number", "kind", "status", "priority", "hits", "opened_ms", "acknowledged_ms", "fixed_ms")
_NOT_YET = (("0", "not yet", ""),)


def incidents(where: str = ESTATE, only_open: bool = True, more: str = "") -> Question:
    """Incidents as they are now: the newest of each one's changes. Those that are over are left out by Grafana."""
    fields = f'{_fields(_INCIDENT)}, "school", "room", "device"'
    text = f'SELECT {fields} FROM "incident" WHERE {TIME} AND {where}{more} ORDER BY time DESC LIMIT 1000'
    columns = (
        _HIDE_TIME,
        Column("number", "INC", width=70, steps=(), link=Link("At the desk", "${desk}/incidents/${__value.raw}")),
        Column("kind", "what", Unit.WORD, None),
        Column("status", "status", Unit.WORD, None),
        Column(
            "priority",
            "priority",
            often_none=True,
            low=1,
            high=9,
            steps=(Step(None, PLAIN), Step(1, RED), Step(3, WATCH)),
        ),
        Column("hits", "machines hit"),
        Column("opened_ms", "opened", Unit.DATE),
        Column("acknowledged_ms", "answered", Unit.DATE, words=_NOT_YET),
        Column("fixed_ms", "fixed", Unit.DATE, words=_NOT_YET),
        _tag("school"),
        _tag("room"),
        _tag("device"),
    )
    return Question(text, columns, NO_INCIDENT, table=True, after=_newest_of_each(only_open))


def _newest_of_each(only_open: bool) -> tuple[dict[str, object], ...]:
    """Rows come newest first: the first of each number is how the incident stands."""
    kept = (*_INCIDENT[1:], "school", "room", "device")
    fields: dict[str, object] = {"number": {"operation": "groupby", "aggregations": []}}
    fields |= {name: {"operation": "aggregate", "aggregations": ["first"]} for name in kept}
    steps: list[dict[str, object]] = [{"id": "groupBy", "options": {"fields": fields}}]
    if only_open:
        over = [
            {"fieldName": "status (first)", "config": {"id": "equal", "options": {"value": status}}}
            for status in ("fixed", "merged")
        ]
        steps.append({"id": "filterByValue", "options": {"filters": over, "type": "exclude", "match": "any"}})
    renamed = {f"{name} (first)": name for name in kept}
    steps.append(
        {"id": "organize", "options": {"excludeByName": {}, "indexByName": {}, "renameByName": renamed}},
    )
    return tuple(steps)


def incidents_by_kind(where: str = ESTATE) -> Question:
    """How many incidents were opened in the span, by kind."""
    text = f'SELECT COUNT("number") AS "opened" FROM "incident" WHERE {TIME} AND {where} AND "action" = \'opened\''
    columns = (Column("opened", "opened"),)
    return Question(f"{text} GROUP BY {DAY} fill(none) {ZONE}", columns, NO_INCIDENT, alias="opened")


# --- a room and a machine -------------------------------------------------------------------------------------------

_NOT_HEARD = "No machine of this room was heard in this span. Widen the span, or see caretaker why SCHOOL/DEVICE."
STATE_WORDS = tuple((look.state.value, look.label, look.colour) for look in LOOKS)


def machine_states(where: str, per: str = "$tag_device") -> Question:
    """Changes of state of each machine; also the last one before the span, so that its beginning is not blank."""
    text = (
        f'SELECT "shown" FROM "transition" WHERE time >= ${{__from}}ms - {LOOK_BACK} AND time <= ${{__to}}ms '
        f'AND {where} GROUP BY "device"'
    )
    return Question(text, (Column("shown", "state", Unit.WORD, None, words=STATE_WORDS),), _NOT_HEARD, alias=per)


def room_lessons() -> Question:
    """When a room had lessons, and when it was held."""
    text = f'SELECT "lesson", "held" FROM "room_now" WHERE {TIME} AND {SCHOOL} AND {ROOM}'
    columns = (
        Column("lesson", "lesson", Unit.YES_NO, None, words=(("true", "lesson", "#f6d860"), ("false", " ", "#f5f6f8"))),
        Column("held", "held", Unit.YES_NO, None, words=(("true", "held", "#234f9e"), ("false", " ", "#f5f6f8"))),
    )
    return Question(text, columns, NOT_RUN, alias="$col")


def room_machines() -> Question:
    """What each machine of a room said last."""
    fields = ("state", "input_age_s", "session", "disk_ratio", "memory_ratio", "uptime_s", "skew_s")
    text = f'SELECT {_fields(fields)} FROM "device" WHERE {TIME} AND {SCHOOL} AND {ROOM}'
    columns = (
        _TIME,
        _tag("device", link=DEVICE_LINK),
        Column("state", "it said", Unit.WORD, None),
        Column("input_age_s", "untouched for", Unit.SECONDS, often_none=True),
        Column("session", "somebody signed in", Unit.YES_NO, None, often_none=True),
        Column("disk_ratio", "disk", Unit.RATIO, 0, 1, 0, steps=_FULL, often_none=True),
        Column("memory_ratio", "memory", Unit.RATIO, 0, 1, 0, often_none=True),
        Column("uptime_s", "on since", Unit.SECONDS, often_none=True),
        Column("skew_s", "clock off by", Unit.SECONDS, None),
    )
    return Question(f'{text} GROUP BY "device" ORDER BY time DESC LIMIT 1', columns, _NOT_HEARD, table=True)


_FULL = (Step(None, PLAIN), Step(0.85, WATCH), Step(0.95, RED))
_ONE = f"{SCHOOL} AND {ROOM} AND {DEVICE}"


def machine_readings() -> Question:
    """Processor, memory and disk of a machine."""
    means = ", ".join(f'MEAN("{name}") AS "{name}"' for name in ("cpu_ratio", "memory_ratio", "disk_ratio"))
    text = f'SELECT {means} FROM "device" WHERE {TIME} AND {_ONE} GROUP BY time($__interval) fill(none)'
    columns = tuple(
        Column(f"{name}_ratio", title, Unit.RATIO, 0, 1, 0, often_none=True)
        for name, title in (("cpu", "processor"), ("memory", "memory"), ("disk", "fullest disk"))
    )
    return Question(text, columns, _NOT_HEARD, alias="$col")


def machine_untouched() -> Question:
    """For how long nobody had touched a machine, as it said."""
    text = f'SELECT MAX("input_age_s") AS "input_age_s" FROM "device" WHERE {TIME} AND {_ONE}'
    columns = (Column("input_age_s", "untouched for", Unit.SECONDS, often_none=True),)
    return Question(f"{text} GROUP BY time($__interval) fill(none)", columns, _NOT_HEARD, alias="untouched for")


def machine_commands() -> Question:
    """What was asked of a machine, and what came of it."""
    text = f'SELECT "verb", "step", "reason", "id" FROM "command" WHERE {TIME} AND {_ONE} ORDER BY time DESC LIMIT 200'
    columns = (
        Column("Time", "when", Unit.DATE, None, width=170),
        Column("verb", "asked", Unit.WORD, None),
        Column("step", "how far", Unit.WORD, None),
        Column("reason", "because", Unit.WORD, None),
        Column("id", "command", Unit.WORD, None),
    )
    nothing = "Nothing was asked of this machine in this span. caretaker why SCHOOL/DEVICE tells what kept it on."
    return Question(text, columns, nothing, table=True)


def machine_days() -> Question:
    """A machine's days: hours in each state."""
    names = (("in_use_s", Shown.IN_USE), ("idle_s", Shown.IDLE), ("asleep_s", Shown.ASLEEP), ("off_s", Shown.OFF_RULE))
    sums = ", ".join(f'SUM("{name}") / 3600 AS "{name}"' for name, _ in (*names, ("blind_s", None)))
    columns = tuple(
        Column(name, LOOK[shown].label if name != "off_s" else "off", Unit.HOURS, 0, 25, 1, LOOK[shown].colour)
        for name, shown in (*names, ("blind_s", Shown.BLIND))
    )
    text = f'SELECT {sums} FROM "device_day" WHERE {TIME} AND {_ONE} GROUP BY {DAY} fill(none) {ZONE}'
    return Question(text, columns, NO_DAYS, alias="$col")


def machine_power_cycles() -> Question:
    """How often a machine was started in the span, a day."""
    text = f'SELECT MEAN("boots") AS "boots" FROM "device_day" WHERE {TIME} AND {_ONE}'
    columns = (Column("boots", "starts a day", decimals=1, steps=(Step(None, PLAIN), Step(6, RED))),)
    return Question(text, columns, NO_DAYS, alias="starts a day")


# --- service level --------------------------------------------------------------------------------------------------

NOT_OWED = "Nothing was owed in this span: no service hours, or no service level is agreed. See caretaker sla show."
_SEEN = '(SUM("available_s") + SUM("down_s"))'
_COUNTED = '(SUM("owed_s") - SUM("maintained_s"))'
_LIKELY, _LOW, _HIGH = (
    f'SUM("available_s") / {_SEEN}',
    f'SUM("available_s") / {_COUNTED}',
    f'(SUM("available_s") + SUM("unseen_s")) / {_COUNTED}',
)


def _cut(ratio: str) -> str:
    """Cut to two decimals of a percent, as caretaker sla does."""
    return f"FLOOR({ratio} * 10000 + 0.000001) / 10000"


def _availability_columns(lowest: float = 0.0) -> tuple[Column, ...]:
    return (
        Column("likely", "availability", Unit.RATIO, lowest, 1, 2),
        Column("low", "at least", Unit.RATIO, 0, 1, 2),
        Column("high", "at most", Unit.RATIO, 0, 1, 2),
    )


def _three() -> str:
    return f'{_cut(_LIKELY)} AS "likely", {_cut(_LOW)} AS "low", {_cut(_HIGH)} AS "high"'


def availability(where: str = ESTATE) -> Question:
    """Availability of the span: of what was seen, and its range with what was not."""
    text = f'SELECT {_three()} FROM "school_day" WHERE {TIME} AND {where}'
    return Question(text, _availability_columns(), NOT_OWED, alias="$col")


def availability_by_school(where: str = ESTATE) -> Question:
    """The same for each school, with hours owed, down and unseen, and the allowed outage that was used up."""
    hours = ", ".join(f'SUM("{name}_s") / 3600 AS "{name}"' for name in ("owed", "maintained", "down", "unseen"))
    burn = f'SUM("down_s") / ({_COUNTED} * (1 - $target)) AS "burn"'
    gap = f'{_LIKELY} - $target AS "gap"'
    text = f'SELECT {_three()}, {gap}, {burn}, {hours}, SUM("faults") AS "faults" FROM "school_day" WHERE {TIME}'
    columns = (
        _HIDE_TIME,
        _tag("school", link=SCHOOL_LINK),
        *_availability_columns(),
        Column(
            "gap", "against target", Unit.RATIO, -1, 1, 2, steps=(Step(None, PLAIN), Step(LEAST, RED), Step(0, GOOD))
        ),
        Column(
            "burn",
            "allowed outage used",
            Unit.RATIO,
            0,
            None,
            0,
            steps=(Step(None, GOOD), Step(0.75, WATCH), Step(1, RED)),
        ),
        Column("owed", "owed", Unit.HOURS, decimals=1),
        Column("maintained", "maintained", Unit.HOURS, decimals=1),
        Column("down", "down", Unit.HOURS, decimals=1),
        Column("unseen", "not seen", Unit.HOURS, decimals=1),
        Column("faults", "outages of machines"),
    )
    return Question(f'{text} AND {where} GROUP BY "school"', columns, NOT_OWED, table=True)


def availability_by_day(where: str = ESTATE) -> Question:
    """The same for each day."""
    text = f'SELECT {_three()} FROM "school_day" WHERE {TIME} AND {where} GROUP BY {DAY} fill(none) {ZONE}'
    return Question(text, _availability_columns(), NOT_OWED, alias="$col")


def availability_by_room() -> Question:
    """Availability of each room of a school, all hours and within lessons."""
    lessons = '(SUM("lesson_available_s") + SUM("lesson_down_s"))'
    text = (
        f'SELECT {_cut(_LIKELY)} AS "likely", {_cut(f"""SUM("lesson_available_s") / {lessons}""")} AS "in_lessons", '
        f'SUM("down_s") / 3600 AS "down", SUM("unseen_s") / 3600 AS "unseen" '
        f'FROM "room_day" WHERE {TIME} AND {SCHOOL} GROUP BY "room"'
    )
    columns = (
        _HIDE_TIME,
        _tag("room", link=ROOM_LINK),
        Column("likely", "availability", Unit.RATIO, 0, 1, 2, often_none=True),
        Column("in_lessons", "in lessons", Unit.RATIO, 0, 1, 2, often_none=True),
        Column("down", "down", Unit.HOURS, decimals=1),
        Column("unseen", "not seen", Unit.HOURS, decimals=1),
    )
    return Question(text, columns, NOT_OWED, table=True)


def down_by_day(where: str = ESTATE) -> Question:
    """Hours down and not seen for each day."""
    text = f'SELECT SUM("down_s") / 3600 AS "down", SUM("unseen_s") / 3600 AS "unseen" FROM "school_day" WHERE {TIME}'
    columns = (
        Column("down", "down", Unit.HOURS, colour=LOOK[Shown.LOST].colour, decimals=1),
        Column("unseen", "not seen", Unit.HOURS, colour=LOOK[Shown.BLIND].colour, decimals=1),
    )
    return Question(f"{text} AND {where} GROUP BY {DAY} fill(none) {ZONE}", columns, NOT_OWED, alias="$col")


def burn_over_time(where: str = ESTATE) -> Question:
    """How much of the span's allowed outage was used up, day by day."""
    share = f'SUM("down_s") / ({_COUNTED} * (1 - $target)) AS "burn"'
    text = f'SELECT {share} FROM "school_day" WHERE {TIME} AND {where} GROUP BY {DAY} fill(none) {ZONE}'
    columns = (Column("burn", "allowed outage used", Unit.RATIO, 0, None, 0, steps=(Step(None, GOOD), Step(1, RED))),)
    return Question(text, columns, NOT_OWED, alias="of the day's allowance")


# --- use ------------------------------------------------------------------------------------------------------------


def hours_by_state(where: str = ESTATE) -> Question:
    """Machine-hours in each state for each day."""
    names = (("in_use_s", Shown.IN_USE), ("idle_s", Shown.IDLE), ("asleep_s", Shown.ASLEEP))
    sums = ", ".join(f'SUM("{name}") / 3600 AS "{name}"' for name, _ in names)
    columns = tuple(
        Column(name, LOOK[shown].label, Unit.HOURS, colour=LOOK[shown].colour, decimals=0) for name, shown in names
    )
    text = f'SELECT {sums} FROM "school_day" WHERE {TIME} AND {where} GROUP BY {DAY} fill(none) {ZONE}'
    return Question(text, columns, NO_DAYS, alias="$col")


def use_by_room() -> Question:
    """Hours in use and idle of each room in the span: where machines stand about, and where they are short."""
    text = (
        f'SELECT SUM("in_use_s") / 3600 AS "in_use", SUM("idle_s") / 3600 AS "idle" '
        f'FROM "room_day" WHERE {TIME} AND {SCHOOL} GROUP BY "room"'
    )
    columns = (
        _HIDE_TIME,
        _tag("room", link=ROOM_LINK),
        Column("in_use", "in use", Unit.HOURS, colour=LOOK[Shown.IN_USE].colour, decimals=0),
        Column("idle", "idle", Unit.HOURS, colour=LOOK[Shown.IDLE].colour, decimals=0),
    )
    return Question(text, columns, NO_DAYS, table=True)


# --- energy ---------------------------------------------------------------------------------------------------------

_OF_SCHOOLS = "\"room\" = 'all'"
_USED, _AVOIDED, _BAND = PLAIN, GOOD, "#9cbfe9"


def energy_used(where: str = ESTATE) -> Question:
    """Energy, cost and carbon used in the span."""
    text = (
        f'SELECT SUM("used_kwh") AS "used", SUM("used_pence") / 100 AS "cost", SUM("used_kg") AS "carbon", '
        f'SUM("blind_h") AS "blind" FROM "energy_day" WHERE {TIME} AND {where} AND {_OF_SCHOOLS}'
    )
    columns = (
        Column("used", "used", Unit.KWH, decimals=1),
        Column("cost", "cost", Unit.POUND, decimals=2, often_none=True),
        Column("carbon", "carbon (CO2e)", Unit.KG, decimals=1, often_none=True),
        Column("blind", "machine-hours nobody saw", Unit.HOURS, decimals=0),
    )
    return Question(text, columns, NO_DAYS, alias="$col")


def energy_by_day(where: str = ESTATE) -> Question:
    """Energy used and avoided for each day, with the range of what was avoided."""
    sums = ", ".join(
        f'SUM("{name}") AS "{title}"'
        for name, title in (
            ("used_kwh", "used"),
            ("both_kwh", "avoided"),
            ("both_kwh_low", "avoided_low"),
            ("both_kwh_high", "avoided_high"),
        )
    )
    text = f'SELECT {sums} FROM "energy_day" WHERE {TIME} AND {where} AND {_OF_SCHOOLS}'
    columns = (
        Column("used", "used", Unit.KWH, colour=_USED, decimals=1),
        Column("avoided", "avoided, likely", Unit.KWH, None, colour=_AVOIDED, decimals=1, often_none=True),
        Column("avoided_low", "avoided, at least", Unit.KWH, None, colour=_BAND, decimals=1, often_none=True),
        Column("avoided_high", "avoided, at most", Unit.KWH, None, colour=_BAND, decimals=1, often_none=True),
    )
    return Question(f"{text} GROUP BY {DAY} fill(none) {ZONE}", columns, NO_DAYS, alias="$col")


def avoided_in_months(where: str = ESTATE) -> Question:
    """What each school's months avoided: a month is reckoned as one, its range is narrower than the days' together."""
    fields = ", ".join(
        f'"{name}" AS "{title}"'
        for name, title in (
            ("used_kwh", "used"),
            ("both_kwh_low", "low"),
            ("both_kwh", "likely"),
            ("both_kwh_high", "high"),
            ("rule_kwh", "by_rules"),
            ("user_kwh", "by_users"),
        )
    )
    money = '"both_pence" / 100 AS "saved", "both_kg" AS "carbon"'
    text = f'SELECT {fields}, {money} FROM "energy_month" WHERE {TIME} AND {where} AND {_OF_SCHOOLS}'
    kwh = {"unit": Unit.KWH, "decimals": 1, "low": None, "often_none": True}
    columns = (
        Column("Time", "month from", Unit.DATE, None, width=170),
        _tag("school", link=SCHOOL_LINK),
        Column("used", "used", Unit.KWH, decimals=1),
        Column("low", "avoided, at least", **kwh),  # type: ignore[arg-type]  # the same for five columns
        Column("likely", "avoided, likely", **kwh),  # type: ignore[arg-type]
        Column("high", "avoided, at most", **kwh),  # type: ignore[arg-type]
        Column("by_rules", "of it by rules", **kwh),  # type: ignore[arg-type]
        Column("by_users", "of it by users", **kwh),  # type: ignore[arg-type]
        Column("saved", "worth, likely", Unit.POUND, None, decimals=2, often_none=True),
        Column("carbon", "carbon (CO2e), likely", Unit.KG, None, decimals=1, often_none=True),
    )
    return Question(f'{text} GROUP BY "school"', columns, NO_BASELINE, table=True)


def avoided_by_rule(where: str = ESTATE) -> Question:
    """What each rule avoided in the months of the span."""
    sums = ", ".join(
        f'SUM("rule_{name}") AS "{title}"'
        for name, title in (("offs", "offs"), ("kwh_low", "low"), ("kwh", "likely"), ("kwh_high", "high"))
    )
    text = f'SELECT {sums} FROM "rule_month" WHERE {TIME} AND {where} GROUP BY "school", "class"'
    columns = (
        _HIDE_TIME,
        _tag("school"),
        Column("class", "rule", Unit.WORD, None),
        Column("offs", "times off"),
        Column("low", "avoided, at least", Unit.KWH, None, decimals=1, often_none=True),
        Column("likely", "avoided, likely", Unit.KWH, None, decimals=1, often_none=True),
        Column("high", "avoided, at most", Unit.KWH, None, decimals=1, often_none=True),
    )
    return Question(text, columns, NO_BASELINE, table=True)


def energy_by_room() -> Question:
    """Energy used by the rooms of a school."""
    text = (
        f'SELECT SUM("used_kwh") AS "used" FROM "energy_day" WHERE {TIME} AND {SCHOOL} '
        'AND "room" != \'all\' GROUP BY "room"'
    )
    columns = (_HIDE_TIME, _tag("room", link=ROOM_LINK), Column("used", "used", Unit.KWH, decimals=1, colour=_USED))
    return Question(text, columns, NO_DAYS, table=True)


def used_against_plan() -> Question:
    """Energy used in the span against the same share of the school year's plan. Only where a plan is written down."""
    inner = f'SELECT SUM("used_kwh") AS "used" FROM "energy_day" WHERE {TIME} AND {ESTATE} AND {_OF_SCHOOLS}'
    planned = "$plan_kwh * (${__to} - ${__from}) / 31557600000"
    text = f'SELECT "used", "used" * 0 + {planned} AS "plan" FROM ({inner}) WHERE "used" * 0 + $plan_kwh > 0'
    columns = (Column("used", "used", Unit.KWH, decimals=1), Column("plan", "planned", Unit.KWH, decimals=1))
    nothing = "No plan is written down for this school year. Add [[targets]] with energy_kwh to the service file."
    return Question(text, columns, nothing, alias="$col")


# --- network and server room ----------------------------------------------------------------------------------------

INFRASTRUCTURE = '"class" =~ /^($always_on)$/'
_NO_INFRASTRUCTURE = (
    "No device of an always-on class was heard. Such classes are marked always_on in estate.toml, and "
    "`caretaker boards push` puts their names into this board."
)


def infrastructure_now() -> Question:
    """What every server, relay and the like said last."""
    fields = ("state", "uptime_s", "cpu_ratio", "memory_ratio", "disk_ratio", "watts", "skew_s")
    text = f'SELECT {_fields(fields)} FROM "device" WHERE {TIME} AND {ESTATE} AND {INFRASTRUCTURE}'
    columns = (
        _TIME,
        _tag("school", link=SCHOOL_LINK),
        _tag("class"),
        _tag("device"),
        Column("state", "it said", Unit.WORD, None),
        Column("uptime_s", "on since", Unit.SECONDS, often_none=True),
        Column("cpu_ratio", "processor", Unit.RATIO, 0, 1, 0, often_none=True),
        Column("memory_ratio", "memory", Unit.RATIO, 0, 1, 0, often_none=True),
        Column("disk_ratio", "fullest disk", Unit.RATIO, 0, 1, 0, steps=_FULL, often_none=True),
        Column("watts", "power", Unit.WATT, often_none=True),
        Column("skew_s", "clock off by", Unit.SECONDS, None),
    )
    return Question(
        f'{text} GROUP BY "school", "class", "device" ORDER BY time DESC LIMIT 1',
        columns,
        _NO_INFRASTRUCTURE,
        table=True,
    )


def infrastructure_availability() -> Question:
    """Availability of each of them in the span."""
    text = (
        f'SELECT {_cut(_LIKELY)} AS "likely", SUM("down_s") / 3600 AS "down", SUM("energy_wh") / 1000 AS "used" '
        f'FROM "device_day" WHERE {TIME} AND {ESTATE} AND {INFRASTRUCTURE} GROUP BY "school", "class", "device"'
    )
    columns = (
        _HIDE_TIME,
        _tag("school", link=SCHOOL_LINK),
        _tag("class"),
        _tag("device"),
        Column("likely", "availability", Unit.RATIO, 0, 1, 2, often_none=True),
        Column("down", "down", Unit.HOURS, decimals=1),
        Column("used", "energy", Unit.KWH, decimals=1),
    )
    return Question(text, columns, _NO_INFRASTRUCTURE, table=True)


LINKS = ' AND "kind" =~ /^(link_down|server_down|relay_silent|school_dark)$/'
"""Incidents of lines, servers and relays."""


# --- Caretaker itself -----------------------------------------------------------------------------------------------

NO_SELF = (
    "The collector has not written of itself in this span. If it runs, its store is behind: ask /healthz of the "
    "collector; else start caretaker collect."
)
ITSELF = "\"school\" = 'caretaker'"


def itself_now() -> Question:
    """Each collector's newest row."""
    fields = (
        "parts_up",
        "parts",
        "core_lag",
        "recorder_lag",
        "behind_s",
        "missing",
        "agents_silent",
        "agents",
        "certificate_days",
        "tellings_waiting",
    )
    text = f'SELECT {_fields(fields)} FROM "collector" WHERE {TIME} AND {ITSELF}'
    some = (Step(None, PLAIN), Step(1000, WATCH), Step(10000, RED))
    columns = (
        _TIME,
        _tag("device", "collector"),
        Column("parts_up", "parts that work"),
        Column("parts", "of"),
        Column("core_lag", "rules behind by", steps=some),
        Column("recorder_lag", "store behind by", steps=some),
        Column("behind_s", "oldest waiting", Unit.SECONDS, steps=(Step(None, PLAIN), Step(60, WATCH), Step(300, RED))),
        Column("missing", "messages missing", steps=_ANY_WATCH),
        Column("agents_silent", "agents silent", steps=_ANY_WATCH),
        Column("agents", "of agents"),
        Column(
            "certificate_days",
            "certificate ends in",
            Unit.DAYS,
            None,
            often_none=True,
            decimals=0,
            steps=red_below(14, 30),
            none="no TLS",
        ),
        Column("tellings_waiting", "messages to people waiting", steps=_ANY_WATCH),
    )
    return Question(f'{text} GROUP BY "device" ORDER BY time DESC LIMIT 1', columns, NO_SELF, table=True)


def itself_over_time(columns: tuple[Column, ...]) -> Question:
    """Readings of the collectors, the highest in each interval."""
    _known("collector", columns)
    highest = ", ".join(f'MAX("{column.name}") AS "{column.name}"' for column in columns)
    text = f'SELECT {highest} FROM "collector" WHERE {TIME} AND {ITSELF} GROUP BY time($__interval) fill(none)'
    return Question(text, columns, NO_SELF, alias="$col")


def itself_counted(columns: tuple[Column, ...]) -> Question:
    """How much the collectors' counters grew in each interval; a counter that began again counts from 0."""
    _known("collector", columns)
    grown = ", ".join(f'NON_NEGATIVE_DIFFERENCE(MAX("{column.name}")) AS "{column.name}"' for column in columns)
    text = f'SELECT {grown} FROM "collector" WHERE {TIME} AND {ITSELF} GROUP BY time($__interval), "device" fill(none)'
    return Question(text, columns, NO_SELF, alias="$col")


def itself_in_span(columns: tuple[Column, ...]) -> Question:
    """How much the collectors' counters grew in the span."""
    _known("collector", columns)
    sums = ", ".join(f'SUM("{column.name}") AS "{column.name}"' for column in columns)
    grown = ", ".join(f'SPREAD("{column.name}") AS "{column.name}"' for column in columns)
    inner = f'SELECT {grown} FROM "collector" WHERE {TIME} AND {ITSELF} GROUP BY "device"'
    return Question(f"SELECT {sums} FROM ({inner})", columns, NO_SELF, alias="$col")


def _known(measurement: str, columns: tuple[Column, ...]) -> None:
    names = {metric.name for metric in MEASUREMENTS[measurement]}
    unknown = [column.name for column in columns if column.name not in names]
    if unknown:
        raise ValueError(f"{measurement} has no field {', '.join(unknown)}")


# --- variables and marks --------------------------------------------------------------------------------------------


def schools() -> str:
    """The schools to choose from."""
    return f'SHOW TAG VALUES FROM "school_now" WITH KEY = "school" WHERE {NETWORK}'


def schools_alone() -> str:
    """The schools to choose from, where no network can be chosen."""
    return 'SHOW TAG VALUES FROM "school_now" WITH KEY = "school"'


def rooms() -> str:
    """The rooms of the chosen school."""
    return f'SHOW TAG VALUES FROM "room_now" WITH KEY = "room" WHERE {SCHOOL}'


def devices() -> str:
    """The machines of the chosen room."""
    return f'SHOW TAG VALUES FROM "device_day" WITH KEY = "device" WHERE {SCHOOL} AND {ROOM}'


def lesson_marks() -> str:
    """Starts of the room's lessons."""
    return f'SELECT "ready" FROM "room_ready" WHERE {TIME} AND {SCHOOL} AND {ROOM}'


def command_marks(where: str = f"{SCHOOL} AND {ROOM}") -> str:
    """What machines of the room were asked, where it came to an end."""
    return (
        f'SELECT "verb", "step", "device" FROM "command" WHERE {TIME} AND {where} '
        'AND "step" =~ /^(done|vetoed|refused|failed)$/ LIMIT 500'
    )


def incident_marks(where: str = SCHOOL) -> str:
    """Incidents that were opened, and that were over."""
    return (
        f'SELECT "kind", "action" FROM "incident" WHERE {TIME} AND {where} '
        'AND "action" =~ /^(opened|fixed|reopened)$/ LIMIT 200'
    )
