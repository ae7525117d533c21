"""Sample review packs as plain values: a full one, an empty month, one device, 2,000 devices, and hostile names.

Nothing here is reckoned from a record: they are what the drawing code is tried with.
"""

import random
from dataclasses import dataclass, field
from datetime import date, timedelta

from caretaker_dashboards.review.pack import (
    Chart,
    Column,
    Fact,
    Headline,
    Pack,
    Page,
    Revision,
    Section,
    Sentence,
    Table,
    Unit,
    Value,
)

MADE_MS = 1_790_838_000_000  # Thu 1 Oct 2026 07:00 in London
HOSTILE = [
    '=cmd|"/C calc"!A0',
    "+1+1",
    "@SUM(A1:A9)",
    "-2+3",
    "<script>alert(1)</script>",
    "</style></svg><img src=x onerror=alert(1)>",
    'O\'Neill & "Sons" {availability}',
    "Room \N{ROCKET} 7 \N{FAMILY}",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET} \N{ARABIC LETTER ALEF}\N{ARABIC LETTER BEH}",
    "L" * 300,
    "$x^2$ and $\\frac{1}{0}$",
    "{{ 7 * 7 }} {% raw %}",
    "https://example.invalid/\x07bell",
]
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri")
_CAUSES = ("power supply", "switch port", "operating system update", "disk", "no cause found")


@dataclass
class Maker:
    """Collects facts while the pages are written, so that a sentence can name a figure on the spot."""

    facts: dict[str, Fact] = field(default_factory=dict)

    def fact(
        self,
        key: str,
        title: str,
        unit: Unit,
        value: Value,
        low: float | None = None,
        high: float | None = None,
        *,
        why_not: str = "",
        source: str = "device_day",
        command: str = "caretaker sla explain ash 2026-09",
    ) -> str:
        """Adds a fact, and gives its key in braces for a sentence."""
        self.facts[key] = Fact(
            key=key,
            title=title,
            unit=unit,
            value=value,
            low=low,
            high=high,
            why_not=why_not,
            source=source,
            command=command,
        )
        return f"{{{key}}}"


def _say(text: str, tone: str = "plain") -> Sentence:
    return Sentence(text=text, tone=tone)  # type: ignore[arg-type]


def _headlines(maker: Maker) -> list[Headline]:
    def five(
        key: str,
        title: str,
        unit: Unit,
        now: tuple[float, float | None, float | None],
        others: tuple[float | None, float | None, float | None],
        verdict: str,
        sentence: str,
        page: str,
    ) -> Headline:
        maker.fact(key, title, unit, *now)
        names: list[str | None] = []
        for suffix, words, value in zip(
            (".target", ".last_month", ".last_year"), ("target", "August 2026", "September 2025"), others, strict=True
        ):
            if suffix == ".target" and value is None:
                names.append(None)
                continue
            why = "" if value is not None else "this school joined in March 2026"
            maker.fact(key + suffix, f"{title}: {words}", unit, value, why_not=why)
            names.append(key + suffix)
        return Headline(
            fact=key,
            target=names[0],
            last_month=names[1],
            last_year=names[2],
            verdict=verdict,  # type: ignore[arg-type]
            sentence=_say(sentence),
            page=page,
        )

    maker.fact("incidents.all", "Incidents closed", Unit.COUNT, 43, source="incident log")
    maker.fact("energy.used", "Energy used", Unit.KWH, 3420.4)
    maker.fact("energy.avoided_gbp", "Cost avoided", Unit.GBP, 275.5, 226.25, 334.5)
    maker.fact("energy.avoided_kg", "Carbon avoided", Unit.KG, 195.1, 160.2, 236.8)
    return [
        five(
            "availability",
            "Availability in service hours",
            Unit.PERCENT,
            (99.624, 99.413, 99.702),
            (99.5, 99.71, None),
            "met",
            "Machines were there for {availability} of the time owed; a switch in ICT1 cost most of what was lost.",
            "service",
        ),
        five(
            "incidents.in_time",
            "Incidents put right in time",
            Unit.COUNT,
            (41, None, None),
            (43, 38, None),
            "missed",
            "Of {incidents.all} incidents two ran over: both waited for a part, and the clock did not stop.",
            "service",
        ),
        five(
            "ready",
            "Rooms ready when lessons began",
            Unit.PERCENT,
            (98.93, 98.71, 99.02),
            (98.0, 98.2, None),
            "met",
            "Nine lessons in 842 began with fewer machines than were needed.",
            "use",
        ),
        five(
            "energy.avoided",
            "Energy avoided",
            Unit.KWH,
            (1102.2, 905.4, 1338.1),
            (1000.0, 480.9, None),
            "cannot tell",
            "{energy.used} were used. What was not used is worth {energy.avoided_gbp} and {energy.avoided_kg} of CO2e.",
            "energy",
        ),
        five(
            "seats",
            "Seats used in booked lessons",
            Unit.RATIO,
            (0.714, None, None),
            (None, 0.688, None),
            "no target",
            "Three of ten seats that lessons booked stayed empty, most of them in the two smallest rooms.",
            "use",
        ),
    ]


def _rooms(count: int, names: list[str] | None = None) -> list[str]:
    known = [
        "ICT suite 1",
        "ICT suite 2",
        "Library",
        "Science 4",
        "Sixth-form study centre",
        "Art and design technology workshop",
        "Humanities 2",
        "Shared learning centre",
        "Music technology",
        "Special needs base",
        "Staff room",
        "Main hall",
    ]
    listed = list(names or []) + known + [f"Classroom {number}" for number in range(1, count + 1)]
    return listed[:count]


def _days(count: int) -> list[str]:
    first = date(2026, 9, 1)
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


def _service(maker: Maker, rooms: list[str], dice: random.Random) -> Page:
    maker.fact("down", "Down time", Unit.SECONDS, 152 * 3600 + 20 * 60)
    maker.fact("outages", "Outages", Unit.COUNT, 17)
    maker.fact("blind", "Time in which Caretaker could not see", Unit.SECONDS, 9 * 3600 + 300)
    maker.fact("longest", "Longest outage", Unit.SECONDS, 11_520)
    by_day: list[list[Value]] = [[day, 100 - max(0, dice.gauss(0.2, 0.4))] for day in _days(30)]
    for row in by_day:
        if date.fromisoformat(str(row[0])).weekday() > 4:
            row[1] = None
    incidents: list[list[Value]] = [
        [
            f"INC-{number}",
            MADE_MS - dice.randrange(30 * 86_400_000),
            f"P{dice.randrange(1, 5)}",
            dice.choice(rooms),
            dice.choice(_CAUSES),
            dice.randrange(600, 30_000),
            dice.choice(["in time", "in time", "in time", "too late"]),
        ]
        for number in range(101, 144)
    ]
    return Page(
        key="service",
        title="Service",
        question="Did the service do what was agreed, and what went wrong?",
        sections=[
            Section(
                title="Availability",
                sentences=[
                    _say(
                        "Machines were available for {availability} of the time owed, against a target of "
                        "{availability.target}. Counted is service time, 08:00 to 17:00 on school days, without "
                        "maintenance that was planned before it began."
                    ),
                    _say(
                        "In {blind} Caretaker could not see; that time makes the range, and counts for nobody.", "note"
                    ),
                ],
                charts=[
                    Chart(
                        kind="lines",
                        title="Availability by day",
                        table="Availability by day",
                        x="day",
                        y=["available"],
                        alt="Availability by school day in September: between 98.9 and 100 %, lowest on 17 September.",
                        target=99.5,
                    )
                ],
                tables=[
                    Table(
                        name="Availability by day",
                        title="Availability by day",
                        columns=[
                            Column(key="day", title="Day", unit=Unit.DATE),
                            Column(key="available", title="Available", unit=Unit.PERCENT),
                        ],
                        rows=by_day,
                        most=5,
                    )
                ],
            ),
            Section(
                title="What failed",
                sentences=[_say("There were {outages} outages, together {down}; the longest took {longest}.", "bad")],
                tables=[
                    Table(
                        name="Incidents",
                        title="Incidents, newest first",
                        columns=[
                            Column(key="name", title="Incident"),
                            Column(key="opened", title="Opened", unit=Unit.MOMENT),
                            Column(key="priority", title="Priority"),
                            Column(key="room", title="Where"),
                            Column(key="cause", title="Cause"),
                            Column(key="took", title="On the clock", unit=Unit.SECONDS, total="sum"),
                            Column(key="result", title="Result"),
                        ],
                        rows=sorted(incidents, key=lambda row: -int(row[1] or 0)),
                        most=15,
                    ),
                    Table(
                        name="Credits",
                        title="Service credits",
                        columns=[
                            Column(key="what", title="For what"),
                            Column(key="gbp", title="Credit", unit=Unit.GBP),
                        ],
                        rows=[],
                        empty="No credit is due: no target with a credit was missed.",
                    ),
                ],
            ),
        ],
    )


def _energy(maker: Maker, rooms: list[str], dice: random.Random) -> Page:
    weeks: list[list[Value]] = [
        [f"week {number}", dice.uniform(600, 900), dice.uniform(120, 200), dice.uniform(40, 90)]
        for number in range(36, 41)
    ]
    for row in weeks:
        likely = float(row[2] or 0) + float(row[3] or 0)
        row.extend([likely * 0.82, likely * 1.21])
    by_room: list[list[Value]] = [
        [room, dice.uniform(40, 400), dice.uniform(10, 120), dice.uniform(2, 40)] for room in rooms
    ]
    awake: list[list[Value]] = [
        [
            f"ict1-{number:02d}",
            dice.choice(rooms),
            dice.uniform(20, 90),
            dice.choice(["update agent", "nobody signed off"]),
        ]
        for number in range(1, 11)
    ]
    maker.fact("energy.plan", "Plan for the year to date", Unit.KWH, 31_200.0, source="targets")
    maker.fact("energy.year", "Used in the year to date", Unit.KWH, 29_871.4)
    return Page(
        key="energy",
        title="Energy",
        question="What did the machines use, and what was saved?",
        sections=[
            Section(
                title="Used and avoided",
                sentences=[
                    _say("The machines used {energy.used}; rules and users avoided {energy.avoided}.", "good"),
                    _say("Since April {energy.year} were used; the plan was {energy.plan}."),
                ],
                charts=[
                    Chart(
                        kind="bars",
                        title="Energy avoided by week, kWh",
                        table="Energy by week",
                        x="week",
                        y=["rule", "user"],
                        low="low",
                        high="high",
                        alt="Energy avoided each week, by rules and by users, between 170 and 280 kWh.",
                    ),
                    Chart(
                        kind="bars",
                        title="Energy used by room, kWh",
                        table="Energy by room",
                        x="room",
                        y=["used"],
                        horizontal=True,
                        alt="Energy used in each room; the largest four rooms take half.",
                    ),
                ],
                tables=[
                    Table(
                        name="Energy by week",
                        title="Energy by week",
                        columns=[
                            Column(key="week", title="Week"),
                            Column(key="used", title="Used", unit=Unit.KWH, total="sum"),
                            Column(key="rule", title="Avoided by rule", unit=Unit.KWH, total="sum"),
                            Column(key="user", title="Avoided by user", unit=Unit.KWH, total="sum"),
                            Column(key="low", title="Avoided, at least", unit=Unit.KWH, total="sum"),
                            Column(key="high", title="Avoided, at most", unit=Unit.KWH, total="sum"),
                        ],
                        rows=weeks,
                    ),
                    Table(
                        name="Energy by room",
                        title="Energy by room",
                        columns=[
                            Column(key="room", title="Room"),
                            Column(key="used", title="Used", unit=Unit.KWH, total="sum"),
                            Column(key="avoided", title="Avoided", unit=Unit.KWH, total="sum"),
                            Column(key="cost", title="Cost", unit=Unit.GBP, total="sum"),
                        ],
                        rows=sorted(by_room, key=lambda row: -float(row[1] or 0)),
                        most=12,
                    ),
                ],
            ),
            Section(
                title="What keeps machines awake",
                tables=[
                    Table(
                        name="Awake",
                        title="The ten machines that were on for longest without being used",
                        columns=[
                            Column(key="device", title="Machine"),
                            Column(key="room", title="Room"),
                            Column(key="idle", title="On and not used", unit=Unit.HOURS, total="sum"),
                            Column(key="why", title="Kept on by"),
                        ],
                        rows=sorted(awake, key=lambda row: -float(row[2] or 0)),
                    )
                ],
            ),
        ],
    )


def _use(maker: Maker, rooms: list[str], dice: random.Random) -> Page:
    heat: list[list[Value]] = []
    for room in rooms:
        busy = dice.uniform(0.2, 0.95)
        heat.extend(
            [room, f"{hour:02d}", weekday, max(0.0, min(1.0, dice.gauss(busy, 0.18)) * (0.2 if hour > 15 else 1))]
            for weekday in _WEEK
            for hour in range(8, 18)
        )
    maker.fact("pupils", "Pupils per computer", Unit.NUMBER, 3.42, source="register")
    maker.fact("hour_cost", "Cost of an hour used", Unit.GBP_PER_HOUR, 0.431, source="register")
    return Page(
        key="use",
        title="Use",
        question="Are the rooms used as they are booked?",
        sections=[
            Section(
                title="Occupancy",
                sentences=[
                    _say(
                        "Of the seats that lessons booked, {seats} were used. There are {pupils} pupils per computer."
                    ),
                    _say("An hour of use cost {hour_cost}, all costs of the register included."),
                ],
                charts=[
                    Chart(
                        kind="heat",
                        title="Machines in use, by hour and weekday",
                        table="Occupancy",
                        x="hour",
                        by="weekday",
                        y=["used"],
                        split="room",
                        alt="For each room a grid of hours and weekdays; darkest from 9 to 12, nearly empty after 16.",
                    )
                ],
                tables=[
                    Table(
                        name="Occupancy",
                        title="Occupancy by room, weekday and hour",
                        columns=[
                            Column(key="room", title="Room"),
                            Column(key="hour", title="Hour"),
                            Column(key="weekday", title="Weekday"),
                            Column(key="used", title="In use", unit=Unit.RATIO),
                        ],
                        rows=heat,
                        most=8,
                    )
                ],
            ),
            Section(
                title="Learning platform",
                charts=[
                    Chart(
                        kind="lines",
                        title="Page views and pupils, three months",
                        table="Learning platform",
                        x="month",
                        y=["views", "pupils"],
                        alt="Page views rose from 31,200 to 44,900 in three months; pupils there from 702 to 815.",
                    )
                ],
                tables=[
                    Table(
                        name="Learning platform",
                        title="Learning platform",
                        columns=[
                            Column(key="month", title="Month"),
                            Column(key="views", title="Page views", unit=Unit.COUNT),
                            Column(key="pupils", title="Pupils who were there", unit=Unit.COUNT),
                        ],
                        rows=[
                            ["July 2026", 31_200, 702],
                            ["August 2026", 12_050, 120],
                            ["September 2026", 44_912, 815],
                        ],
                    )
                ],
            ),
        ],
    )


def _network(maker: Maker) -> Page:
    maker.fact("remote", "Repairs without a visit", Unit.COUNT, 12, source="ledger")
    return Page(
        key="network",
        title="Network and server room",
        question="Are line, switches and server room well?",
        sections=[
            Section(
                title="Line and power",
                sentences=[_say("{remote} repairs were done without a visit.", "good")],
                charts=[
                    Chart(
                        kind="bars",
                        title="Watts in the server room",
                        table="Server room",
                        x="feed",
                        y=["watts"],
                        alt="",
                    )
                ],
                tables=[
                    Table(
                        name="Server room",
                        title="Server room",
                        columns=[
                            Column(key="feed", title="Feed"),
                            Column(key="watts", title="Power", unit=Unit.WATTS, total="sum"),
                            Column(key="runtime", title="On battery", unit=Unit.MINUTES),
                        ],
                        rows=[],
                        empty="No power feed is recorded. Add the UPS to the register, and the relay asks it.",
                    )
                ],
            )
        ],
    )


def _comparison(dice: random.Random, schools: int) -> Page:
    rows: list[list[Value]] = [
        [
            f"School {chr(65 + number)}" if number else "Ashfield Secondary",
            value,
            value - 0.2,
            value + 0.12,
            number == 0,
        ]
        for number, value in enumerate(dice.uniform(98.9, 99.9) for _ in range(schools))
    ]
    return Page(
        key="comparison",
        title="Compared with the network's schools",
        question="How does this school stand among others of its kind?",
        sections=[
            Section(
                title="Availability",
                sentences=[_say("Schools that did not agree to be named stand under a letter.", "note")],
                charts=[
                    Chart(
                        kind="dots",
                        title="Availability in September, %",
                        table="Comparison",
                        x="school",
                        y=["value"],
                        low="low",
                        high="high",
                        mark="ours",
                        target=99.5,
                        alt="Availability of eight schools, from 98.9 to 99.9 %; Ashfield is third from the top.",
                    )
                ],
                tables=[
                    Table(
                        name="Comparison",
                        title="Availability by school",
                        columns=[
                            Column(key="school", title="School"),
                            Column(key="value", title="Likely", unit=Unit.PERCENT),
                            Column(key="low", title="At least", unit=Unit.PERCENT),
                            Column(key="high", title="At most", unit=Unit.PERCENT),
                            Column(key="ours", title="This school"),
                        ],
                        rows=sorted(rows, key=lambda row: -float(row[1] or 0)),
                    )
                ],
            )
        ],
    )


def _actions() -> Page:
    columns = [
        Column(key="action", title="Action"),
        Column(key="role", title="Who"),
        Column(key="due", title="Due", unit=Unit.DATE),
        Column(key="state", title="State"),
    ]
    return Page(
        key="actions",
        title="Actions",
        question="What was agreed, and who does it by when?",
        sections=[
            Section(
                title="Carried over and new",
                sentences=[_say("The next meeting is at Oakley Primary; Ashfield Secondary takes the chair.")],
                tables=[
                    Table(
                        name="Actions",
                        title="Actions",
                        columns=columns,
                        rows=[
                            ["Replace the switch of ICT1", "provider", "2026-10-09", "open"],
                            ["Agree on the after-school club's hours", "school", "2026-10-16", "open"],
                            ["Teach the new booking page in the staff meeting", "school", "2026-09-18", "done"],
                        ],
                    )
                ],
            )
        ],
    )


def _made() -> Page:
    return Page(
        key="made",
        title="How these figures are made",
        question="Where does each figure come from, and how can it be recomputed?",
        sections=[
            Section(
                title="Definitions",
                sentences=[
                    _say(
                        "Availability is the time in which a machine could be used, of the service time that it owed."
                    ),
                    _say("Tariff 25.0 p/kWh from 1 April 2026; carbon 0.177 kg CO2e/kWh (2025 set)."),
                ],
            )
        ],
    )


def _annex(devices: int, dice: random.Random, rooms: list[str]) -> Page:
    return Page(
        key="annex",
        title="Annex: evidence for the digital standards",
        question="What can the school show, and how well is it known?",
        sections=[
            Section(
                title="Register",
                tables=[
                    Table(
                        name="Evidence",
                        title="What the standards ask for",
                        columns=[
                            Column(key="what", title="Evidence"),
                            Column(key="value", title="Figure", unit=Unit.COUNT),
                            Column(key="mark", title="How it is known", unit=Unit.MARK),
                        ],
                        rows=[
                            ["Devices in the register", devices, "measured"],
                            ["Devices out of support", 4, "declared"],
                            ["Age of the oldest missing update, days", None, "not known"],
                        ],
                    ),
                    Table(
                        name="Register",
                        title="Devices",
                        columns=[
                            Column(key="device", title="Device"),
                            Column(key="room", title="Room"),
                            Column(key="class", title="Class"),
                            Column(key="watts", title="Watts when on", unit=Unit.WATTS),
                            Column(key="bought", title="Bought", unit=Unit.DATE),
                        ],
                        rows=[
                            [
                                f"pc-{number:04d}",
                                dice.choice(rooms),
                                "thin client",
                                dice.choice([20.0, 47.0, 90.0]),
                                "2023-08-01",
                            ]
                            for number in range(devices)
                        ],
                        most=25,
                        empty="The register is empty: add devices to it.",
                    ),
                ],
            )
        ],
    )


def full(
    *, devices: int = 328, room_count: int = 12, schools: int = 8, names: list[str] | None = None, seed: int = 7
) -> Pack:
    """A realistic month with all eight pages and the annex. `names`: rooms to put before the usual ones."""
    dice, maker = random.Random(seed), Maker()
    rooms = _rooms(room_count, names)
    headlines = _headlines(maker)
    title = names[4] if names else "Ashfield Secondary"
    return Pack(
        place="ash",
        title=title,
        period="2026-09",
        period_title="September 2026",
        first="2026-09-01",
        last="2026-09-30",
        zone="Europe/London",
        made_ms=MADE_MS,
        revision=2,
        revisions=[
            Revision(number=1, made_ms=MADE_MS - 86_400_000, reason="made by itself on the first working day"),
            Revision(number=2, made_ms=MADE_MS, reason="late reports of 14 machines in the Library"),
        ],
        stamp="rules 0.1.0 · policy 7c1e · tariff 2026-04",
        illustrative=True,
        headlines=headlines,
        pages=[
            Page(key="front", title="The month in five figures", question="How did the month go?", sections=[]),
            _service(maker, rooms, dice),
            _energy(maker, rooms, dice),
            _use(maker, rooms, dice),
            _network(maker),
            _comparison(dice, schools),
            _actions(),
            _made(),
            _annex(devices, dice, rooms),
        ],
        facts=maker.facts,
    )


def estate(devices: int = 2_000) -> Pack:
    """A large place: 2,000 devices in 45 rooms, 30 schools to compare with."""
    return full(devices=devices, room_count=45, schools=30)


def one_device() -> Pack:
    """A school with one device in one room, and nobody to compare with."""
    return full(devices=1, room_count=1, schools=1)


def hostile() -> Pack:
    """Names with markup, quotes, formulas, emoji, other directions, control letters and 300 letters."""
    return full(room_count=len(HOSTILE) + 2, names=HOSTILE)


def empty_month() -> Pack:
    """A month without data: every figure is n/a with its reason, every table says why it is empty."""
    pack = full()
    why = "no service time in August: the school was closed"
    facts = {
        key: Fact(key=key, title=fact.title, unit=fact.unit, value=None, why_not=why, source=fact.source)
        for key, fact in pack.facts.items()
    }

    def emptied(table: Table) -> Table:
        return Table(
            name=table.name,
            title=table.title,
            columns=table.columns,
            rows=[],
            empty="Nothing was recorded in this month. Check that the agents run: caretaker fleet ash.",
            most=table.most,
        )

    pages = [
        Page(
            key=page.key,
            title=page.title,
            question=page.question,
            sections=[
                Section(
                    title=section.title,
                    sentences=section.sentences,
                    charts=section.charts,
                    tables=[emptied(table) for table in section.tables],
                )
                for section in page.sections
            ],
        )
        for page in pack.pages
    ]
    headlines = [
        Headline(
            fact=line.fact,
            target=line.target,
            last_month=line.last_month,
            last_year=line.last_year,
            verdict="cannot tell",
            sentence=_say("Nothing was recorded in this month."),
            page=line.page,
        )
        for line in pack.headlines
    ]
    return Pack(
        place=pack.place,
        title=pack.title,
        period="2026-08",
        period_title="August 2026",
        first="2026-08-01",
        last="2026-08-31",
        zone=pack.zone,
        made_ms=pack.made_ms,
        revision=1,
        revisions=[Revision(number=1, made_ms=pack.made_ms, reason="made by itself on the first working day")],
        stamp=pack.stamp,
        illustrative=False,
        headlines=headlines,
        pages=pages,
        facts=facts,
    )


PACKS = {
    "full": full,
    "empty": empty_month,
    "one": one_device,
    "estate": estate,
    "hostile": hostile,
}
"""Every sample pack by name."""
