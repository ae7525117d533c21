"""The page of use: when rooms are used, seats used of seats booked, whose bookings they were, what an hour costs."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from caretaker_collector.review import use_money, use_read
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs
from caretaker_collector.review.use_read import WHOSE, Booked, RoomUse, SchoolUse
from caretaker_dashboards.review.pack import Chart, Column, Page, Section, Sentence, Table, Unit, Value
from caretaker_rules.calendar import DAY_NAMES
from caretaker_rules.model import Whose
from caretaker_rules.usage import Cell

SEATS = "use.seats"
NO_DAYS = "no day of it was computed; is the collector running? Days are rolled up within minutes of their first report"
NO_LESSONS = "no lesson or booking is known: give rooms lessons, the school a timetable, or a room a calendar"
NO_LESSON_ON = "no lesson or booking was over on these days"
NO_ONE_SAW = "Caretaker saw none of the booked lessons"
FIRST_HOUR, LAST_HOUR = 8, 17
"""Hours of the heat map that are there in any case; more when somebody uses a machine in them."""
SCHOOL_HOURS = range(8, 16)
WEEKDAYS = {name: name.capitalize() for name in DAY_NAMES}
TELLING = 0.25
"""Shares of rooms that lie closer together are told by the table alone."""
_S_PER_H = 3600


class Line(Struct, frozen=True, kw_only=True):
    """A room, or a whole school where the pack is of several."""

    name: str
    title: str
    machines: int
    in_use_s: int
    seen_s: int
    cells: Mapping[tuple[int, int], Cell]
    booked: Mapping[Whose, Booked]
    shared: Mapping[Whose, Booked]  # of rooms that are shared; none: no room is

    @property
    def all_booked(self) -> Booked:
        """Whoever it was for."""
        return sum(self.booked.values(), Booked())


async def page(inputs: Inputs, facts: Facts) -> Page:
    """All of it; facts begin with "use.". Unavailable: the store."""
    found = [await use_read.use(inputs.sources, each.school, inputs.span) for each in inputs.schools]
    lines = [_line(room) for each in found for room in each.rooms] if inputs.one else [_school(each) for each in found]
    await _seats(inputs, facts, found)
    sections = [_when(inputs, facts, lines), _booked_section(facts, lines, found), _shares(facts, lines)]
    sections += await use_money.sections(inputs, facts, found)
    return Page(
        key="use",
        title="How rooms are used",
        question="Are the machines where and when people need them, and what does an hour of use cost?",
        sections=sections,
    )


def _line(room: RoomUse) -> Line:
    return Line(
        name=room.name,
        title=room.title,
        machines=room.machines,
        in_use_s=room.in_use_s,
        seen_s=room.seen_s,
        cells=room.cells,
        booked=room.booked,
        shared=room.booked if _is_shared(room) else {},
    )


def _is_shared(room: RoomUse) -> bool:
    return bool(room.room is not None and room.room.shared) or any(whose != "host" for whose in room.booked)


def _school(school: SchoolUse) -> Line:
    cells: dict[tuple[int, int], Cell] = {}
    booked: dict[Whose, Booked] = {}
    shared: dict[Whose, Booked] = {}
    for room in school.rooms:
        for key, cell in room.cells.items():
            known = cells.get(key, Cell())
            cells[key] = Cell(known.in_use_s + cell.in_use_s, known.seen_s + cell.seen_s)
        for whose, each in room.booked.items():
            booked[whose] = booked.get(whose, Booked()) + each
            if _is_shared(room):
                shared[whose] = shared.get(whose, Booked()) + each
    return Line(
        name=school.school.name,
        title=school.school.title,
        machines=sum(room.machines for room in school.rooms),
        in_use_s=school.in_use_s,
        seen_s=school.seen_s,
        cells=cells,
        booked=booked,
        shared=shared,
    )


async def _seats(inputs: Inputs, facts: Facts, found: Sequence[SchoolUse]) -> None:
    """The figure of the first page, with the spans to compare with."""
    whole = sum((each.booked for each in found), Booked())
    why = NO_ONE_SAW
    if not any(each.rooms for each in found):
        why = NO_DAYS
    elif not whole.seats:
        why = NO_LESSON_ON if any(each.knows_lessons for each in found) else NO_LESSONS
    _seat_fact(inputs, facts, "", "", whole, why)
    target = inputs.target("seats_used")
    facts.add(
        f"{SEATS}.target",
        "seats used in booked lessons, target",
        Unit.RATIO,
        None if target is None else target.value,
        why_not="no target is written in service.toml",
        source="service.toml",
    )
    for end, span in ((".last_month", inputs.span.before()), (".last_year", inputs.span.year_before())):
        before = Booked()
        for each in inputs.schools:
            before += await use_read.seats(inputs.sources, each.school, span)
        _seat_fact(inputs, facts, end, f", {span.title}", before, "no booked lesson seen")


def _seat_fact(inputs: Inputs, facts: Facts, end: str, of: str, booked: Booked, why: str) -> None:
    facts.add(
        f"{SEATS}{end}",
        f"seats used in booked lessons{of}",
        Unit.RATIO,
        booked.likely,
        low=booked.low,
        high=booked.high,
        why_not=why,
        source="room_use",
        command=_command(inputs),
    )


def _command(inputs: Inputs) -> str:
    span = inputs.span
    words = span.month or f"--from {span.first} --to {span.last}"
    return f"caretaker review {inputs.where.name} {words}"


def _when(inputs: Inputs, facts: Facts, lines: Sequence[Line]) -> Section:
    """The heat map, and the share of machine time in use of each room."""
    what = "room" if inputs.one else "school"
    in_use_s, seen_s = sum(line.in_use_s for line in lines), sum(line.seen_s for line in lines)
    source, command = "room_hour", _command(inputs)
    facts.add(
        "use.hours",
        "machine-hours in use",
        Unit.HOURS,
        in_use_s / _S_PER_H if lines else None,
        why_not=NO_DAYS,
        source=source,
        command=command,
    )
    facts.add(
        "use.share",
        "machine time in use, of all hours",
        Unit.RATIO,
        _ratio(in_use_s, seen_s),
        why_not=NO_DAYS,
        source=source,
        command=command,
    )
    busiest, sentences = _busiest(lines), list[Sentence]()
    if busiest is not None:
        weekday, hour, cell = busiest
        facts.text(
            "use.busiest",
            "the busiest hour of the week",
            f"{WEEKDAYS[DAY_NAMES[weekday]]} {hour:02}:00-{hour + 1:02}:00",
        )
        facts.add(
            "use.busiest_share",
            "machine time in use in it",
            Unit.RATIO,
            cell.share,
            why_not=NO_DAYS,
            source=source,
            command=command,
        )
        sentences.append(
            facts.say(
                "Machines were in use for {use.hours} together; in the busiest hour of the week, {use.busiest}, "
                "{use.busiest_share} of them on average."
            )
        )
    elif lines:
        sentences.append(facts.say("Nobody used a machine on these days.", "note"))
    rows: list[list[Value]] = []
    weekdays, hours = _shown(lines)
    for line in lines:
        for weekday in weekdays:
            for hour in hours:
                cell = line.cells.get((weekday, hour), Cell())
                rows.append(
                    [
                        line.title,
                        WEEKDAYS[DAY_NAMES[weekday]],
                        f"{hour:02}",
                        cell.share,
                        cell.in_use_s / _S_PER_H,
                        cell.seen_s / _S_PER_H,
                    ]
                )
    table = Table(
        name="When used",
        title=f"Share of machine time in use, by {what}, weekday and hour",
        columns=[
            Column(key="place", title=what.capitalize()),
            Column(key="weekday", title="Weekday"),
            Column(key="hour", title="Hour from"),
            Column(key="share", title="In use", unit=Unit.RATIO),
            Column(key="in_use", title="Machine-hours in use", unit=Unit.HOURS, total="sum"),
            Column(key="seen", title="Machine-hours seen", unit=Unit.HOURS, total="sum"),
        ],
        rows=rows,
        empty=_sentence(NO_DAYS),
        note="Machines that people sit at; servers and switches are left out. Hours that nobody saw are in no share. "
        "Where no hour outside school was used, it is left out.",
        on="sheet",
    )
    chart = Chart(
        kind="heat",
        title=f"When each {what} is used",
        table=table.name,
        x="hour",
        by="weekday",
        y=["share"],
        split="place",
        alt=f"One small map for each {what}: hours across, weekdays down, the darker the more of its machine time was "
        "in use. The table has every figure.",
    )
    return Section(
        title="When machines are used",
        sentences=sentences,
        charts=[chart] if rows and in_use_s else [],
        tables=[_places(lines, what), table],
    )


def _places(lines: Sequence[Line], what: str) -> Table:
    """How much each room was used, and when most."""
    rows: list[list[Value]] = []
    for line in lines:
        busiest = _busiest([line])
        when = "" if busiest is None else f"{WEEKDAYS[DAY_NAMES[busiest[0]]]} {busiest[1]:02}:00"
        inside = [cell for (weekday, hour), cell in line.cells.items() if weekday < 5 and hour in SCHOOL_HOURS]
        rows.append(
            [
                line.title,
                line.machines,
                line.in_use_s / _S_PER_H,
                _ratio(sum(cell.in_use_s for cell in inside), sum(cell.seen_s for cell in inside)),
                when or None,
                busiest[2].share if busiest is not None else None,
            ]
        )
    return Table(
        name="How much used",
        title=f"How much each {what} is used",
        columns=[
            Column(key="place", title=what.capitalize()),
            Column(key="machines", title="Machines", unit=Unit.COUNT),
            Column(key="hours", title="Machine-hours in use", unit=Unit.HOURS, total="sum"),
            Column(key="school_day", title="Of weekdays 08:00-16:00", unit=Unit.RATIO),
            Column(key="busiest", title="Busiest hour from"),
            Column(key="share", title="In use in it", unit=Unit.RATIO),
        ],
        rows=rows,
        empty=_sentence(NO_DAYS),
        note="Weekdays are all from Monday to Friday, also in holidays.",
    )


def _shown(lines: Sequence[Line]) -> tuple[list[int], list[int]]:
    """Weekdays and hours of the heat map: a school's, and any other in which a machine was in use."""
    if not lines:
        return [], []
    used = [key for line in lines for key, cell in line.cells.items() if cell.in_use_s]
    weekdays = sorted({0, 1, 2, 3, 4} | {weekday for weekday, _ in used})
    first = min([FIRST_HOUR, *(hour for _, hour in used)])
    last = max([LAST_HOUR, *(hour for _, hour in used)])
    return weekdays, list(range(first, last + 1))


def _busiest(lines: Sequence[Line]) -> tuple[int, int, Cell] | None:
    """The hour of the week with the greatest share in all rooms together; None: nothing was used."""
    sums: dict[tuple[int, int], Cell] = {}
    for line in lines:
        for key, cell in line.cells.items():
            known = sums.get(key, Cell())
            sums[key] = Cell(known.in_use_s + cell.in_use_s, known.seen_s + cell.seen_s)
    used = [(cell.share or 0.0, -weekday, -hour) for (weekday, hour), cell in sums.items() if cell.in_use_s]
    if not used:
        return None
    _, weekday, hour = max(used)
    return -weekday, -hour, sums[-weekday, -hour]


def _booked_section(facts: Facts, lines: Sequence[Line], found: Sequence[SchoolUse]) -> Section:
    """Booked against really used, by room."""
    rows: list[list[Value]] = []
    for line in lines:
        booked = line.all_booked
        rows.append(
            [
                line.title,
                line.machines,
                booked.length_s / _S_PER_H,
                booked.used_length_s / _S_PER_H if booked.seen else None,
                booked.seats,
                booked.used if booked.seen else None,
                booked.likely,
                booked.low if booked.low is not None else booked.likely,
                booked.high if booked.high is not None else booked.likely,
                booked.in_use_s / _S_PER_H,
                (line.in_use_s - booked.in_use_s) / _S_PER_H,
            ]
        )
    table = Table(
        name="Booked and used",
        title="Booked, and really used",
        columns=[
            Column(key="place", title="Room" if len(found) == 1 else "School"),
            Column(key="machines", title="Machines", unit=Unit.COUNT),
            Column(key="booked", title="Booked", unit=Unit.HOURS, total="sum"),
            Column(key="used", title="Of it used by anybody", unit=Unit.HOURS, total="sum"),
            Column(key="seats", title="Seats booked", unit=Unit.COUNT, total="sum"),
            Column(key="seats_used", title="Seats used", unit=Unit.COUNT, total="sum"),
            Column(key="share", title="Share used", unit=Unit.RATIO),
            Column(key="low", title="at least", unit=Unit.RATIO),
            Column(key="high", title="at most", unit=Unit.RATIO),
            Column(key="inside", title="Machine-hours in lessons", unit=Unit.HOURS, total="sum"),
            Column(key="outside", title="Machine-hours outside", unit=Unit.HOURS, total="sum"),
        ],
        rows=rows,
        empty=_sentence(NO_DAYS),
        note="A seat is used when its machine was in use for at least a minute of the lesson; a booking of more than "
        "two hours counts hour by hour. Shares are of the seats that Caretaker saw: a range where it did not see all.",
    )
    sentences = []
    if facts.value(SEATS) is None:
        sentences.append(facts.say(f"There is no figure of seats: {facts.known[SEATS].why_not}.", "note"))
    else:
        whole = sum((each.booked for each in found), Booked())
        facts.add("use.seats_booked", "seats booked, summed over lessons", Unit.COUNT, whole.seats, source="room_use")
        facts.add(
            "use.booked_h",
            "hours for which rooms were booked",
            Unit.HOURS,
            whole.length_s / _S_PER_H,
            source="room_use",
        )
        facts.add(
            "use.used_h",
            "of these with at least one machine used",
            Unit.HOURS,
            whole.used_length_s / _S_PER_H,
            source="room_use",
        )
        sentences.append(
            facts.say(
                "Of {use.seats_booked} seats in booked lessons {use.seats} were used; of {use.booked_h} booked, "
                "somebody used a machine in {use.used_h}."
            )
        )
    silent = [
        room.title
        for each in found
        for room in each.rooms
        if room.room is not None and room.room.lessons is None and not room.room.calendar and not room.booked
    ]
    if silent and facts.value(SEATS) is not None:
        facts.text("use.no_timetable", "rooms of which nobody knows what is booked", _listed(silent))
        sentences.append(
            facts.say("No lessons are written down for {use.no_timetable}: their seats are in no figure.", "note")
        )
    chart = Chart(
        kind="bars",
        title="Seats used of seats booked",
        table=table.name,
        x="place",
        y=["share"],
        low="low",
        high="high",
        horizontal=True,
        alt="A bar for each room: the share of the seats of its booked lessons that were used.",
    )
    return Section(
        title="Booked and used", sentences=sentences, charts=[chart] if _differ(lines) else [], tables=[table]
    )


def _differ(lines: Sequence[Line]) -> bool:
    """Whether seats are used so differently that a drawing shows more than its table."""
    known = [line.all_booked.likely for line in lines]
    shares = [share for share in known if share is not None]
    return len(shares) > 1 and max(shares) - min(shares) >= TELLING


def _shares(facts: Facts, lines: Sequence[Line]) -> Section:
    """Host, partners and community, where a room is shared."""
    shared = [line for line in lines if line.shared]
    rows: list[list[Value]] = []
    for line in shared:
        whole = sum(line.shared.values(), Booked())
        for whose in WHOSE:
            one = line.shared.get(whose, Booked())
            rows.append(
                [
                    line.title,
                    _WORDS[whose],
                    one.length_s / _S_PER_H,
                    _ratio(one.length_s, whole.length_s),
                    one.in_use_s / _S_PER_H,
                    _ratio(one.in_use_s, whole.in_use_s),
                    one.likely,
                ]
            )
    table = Table(
        name="Shared rooms",
        title="Whose bookings they were",
        columns=[
            Column(key="place", title="Where"),
            Column(key="whose", title="Whose"),
            Column(key="booked", title="Booked", unit=Unit.HOURS, total="sum"),
            Column(key="of_booked", title="Of what was booked", unit=Unit.RATIO),
            Column(key="used", title="Machine-hours used", unit=Unit.HOURS, total="sum"),
            Column(key="of_used", title="Of what was used", unit=Unit.RATIO),
            Column(key="seats", title="Seats used", unit=Unit.RATIO),
        ],
        rows=rows,
        empty="No room is shared with partner schools or the community. Where one is, add [[schools.rooms.shared]] to "
        "its room in estate.toml, with hours or with a category of its calendar.",
    )
    sentences = []
    if shared:
        sums = {whose: sum((line.shared.get(whose, Booked()) for line in shared), Booked()) for whose in WHOSE}
        whole = sum(sums.values(), Booked())
        for whose in WHOSE:
            facts.add(
                f"use.share_{whose}",
                f"booked hours of shared rooms, {_WORDS[whose]}",
                Unit.RATIO,
                _ratio(sums[whose].length_s, whole.length_s),
                why_not="no lesson or booking of a shared room is over",
                source="room_use",
            )
        if whole.length_s:
            sentences.append(
                facts.say(
                    "Of the booked hours of shared rooms {use.share_host} were the host school's, {use.share_partner} "
                    "partner schools' and {use.share_community} the community's."
                )
            )
    return Section(title="Shared rooms", sentences=sentences, tables=[table])


_WORDS: dict[Whose, str] = {"host": "host school", "partner": "partner schools", "community": "community"}


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _listed(names: Sequence[str], most: int = 5) -> str:
    """A few names, and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
