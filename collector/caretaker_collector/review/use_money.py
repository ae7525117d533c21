"""The second half of the page of use: pupils per computer, what an hour of use costs, and the learning platform."""

from collections.abc import Sequence

from caretaker_collector.review import use_read
from caretaker_collector.review.columns import told_apart
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs, today
from caretaker_collector.review.use_read import STAFF_TAG, SchoolUse
from caretaker_dashboards.review.pack import Chart, Column, Section, Sentence, Table, Unit, Value
from caretaker_rules.ownership import Owned
from caretaker_rules.usage import Trend, trend

MOST_INDICATORS = 6
FEWEST_DRAWN = 4  # indicators; fewer are told by the table alone
_S_PER_H = 3600
NO_PUPILS = "pupils on roll are not written down: add pupils = 1000 to the school in estate.toml"
NO_USE = "nobody used a machine, so an hour of use has no price"
NO_PRICES = (
    "some devices have no cost or years: add these columns to the asset register, or cost and years to their class in "
    "estate.toml"
)
NO_COMPUTERS = "no computer of pupils is in the asset register"


async def sections(inputs: Inputs, facts: Facts, found: Sequence[SchoolUse]) -> list[Section]:
    """All three."""
    return [_pupils(inputs, facts), _cost(inputs, facts, found), await _platform(inputs, facts)]


def _pupils(inputs: Inputs, facts: Facts) -> Section:
    """By school; with several, the sums of those that say how many pupils they have."""
    rows: list[list[Value]] = []
    known: list[tuple[int, int]] = []
    for each in inputs.schools:
        machines = use_read.computers(inputs.sources.estate, each.school)
        staff = sum(STAFF_TAG in device.tags for device in machines)
        pupils, theirs = each.school.pupils, len(machines) - staff
        rows.append([each.school.title, pupils, theirs, staff, pupils / theirs if pupils and theirs else None])
        if pupils and theirs:
            known.append((pupils, theirs))
    why = NO_COMPUTERS if any(each.school.pupils for each in inputs.schools) else NO_PUPILS
    per = sum(row[0] for row in known) / sum(row[1] for row in known) if len(known) == len(rows) and rows else None
    facts.add(
        "use.pupils_per_computer",
        "pupils per computer",
        Unit.NUMBER,
        per,
        why_not=why,
        source="asset register, estate.toml",
    )
    sentence = (
        facts.say("{use.pupils_per_computer} pupils share a computer that is not for staff only.")
        if per is not None
        else facts.say(f"Pupils per computer: {why}.", "note")
    )
    table = Table(
        name="Pupils and computers",
        title="Pupils and computers",
        columns=[
            Column(key="school", title="School"),
            Column(key="pupils", title="Pupils", unit=Unit.COUNT, total="sum"),
            Column(key="computers", title="Computers for pupils", unit=Unit.COUNT, total="sum"),
            Column(key="staff", title="Computers of staff", unit=Unit.COUNT, total="sum"),
            Column(key="per", title="Pupils per computer", unit=Unit.NUMBER),
        ],
        rows=rows,
        empty="There is no school.",
        on="screen" if inputs.one else "paper",
        note=f'Computers are what people sit at, by the asset register; those with the tag "{STAFF_TAG}" are staff\'s.',
    )
    return Section(title="Pupils per computer", sentences=[sentence], tables=[told_apart(inputs, table)])


def _cost(inputs: Inputs, facts: Facts, found: Sequence[SchoolUse]) -> Section:
    """What an hour of use costs: the share of the price of all devices, and their energy."""
    estate, rows = inputs.sources.estate, list[list[Value]]()
    whole, energy_gbp, missing = Owned(), 0.0, ""
    for each, use in zip(inputs.schools, found, strict=True):
        own = use_read.owning(estate, each.school, use.days)
        whole = Owned(
            devices=whole.devices + own.devices,
            unknown=whole.unknown + own.unknown,
            paid_off=whole.paid_off + own.paid_off,
            gbp=whole.gbp + own.gbp,
        )
        used = each.energy.whole
        if used.gbp is None:
            missing = "no tariff is valid on some day" if used.device_days else "no day's energy was reckoned"
        energy_gbp += used.gbp or 0.0
        if inputs.one is None:
            rows.append(_row(each.school.title, own, used.gbp, use.in_use_s))
            continue
        for room in use.rooms:
            amounts = each.energy.rooms.get(room.name)
            own = use_read.owning(estate, each.school, use.days, room.name)
            rows.append(_row(room.title, own, amounts.gbp if amounts else None, room.in_use_s))
    hours = sum(use.in_use_s for use in found) / _S_PER_H
    why = missing
    if whole.unknown:
        why = NO_PRICES
    elif not hours:
        why = NO_USE
    elif not whole.devices:
        why = "no device is in the asset register"
    source = "asset register, energy_month, room_hour"
    facts.add(
        "use.cost_per_hour",
        "cost of an hour of use of a machine",
        Unit.GBP_PER_HOUR,
        (whole.gbp + energy_gbp) / hours if not why else None,
        why_not=why,
        source=source,
    )
    facts.add(
        "use.cost_owning",
        "price of the devices that falls on these days",
        Unit.GBP,
        whole.whole,
        why_not=why or "none",
        source=source,
    )
    facts.add(
        "use.cost_energy",
        "energy of all devices",
        Unit.GBP,
        None if missing else energy_gbp,
        why_not=missing,
        source=source,
    )
    facts.add(
        "use.paid_off",
        "devices older than their years, which cost nothing more",
        Unit.COUNT,
        whole.paid_off,
        source=source,
    )
    if why:
        sentences = [facts.say(f"There is no cost per hour: {why}.", "note")]
        if whole.unknown:
            facts.add("use.devices", "devices of the asset register", Unit.COUNT, whole.devices, source=source)
            facts.add("use.unpriced", "of these without cost or years", Unit.COUNT, whole.unknown, source=source)
            sentences.append(facts.say("It lacks for {use.unpriced} of {use.devices} devices.", "note"))
    else:
        sentences = [
            facts.say(
                "An hour of use of a machine cost {use.cost_per_hour}: {use.cost_owning} of the price of all devices, "
                "servers and switches too, and {use.cost_energy} of energy, over {use.hours} of use."
            )
        ]
        if whole.paid_off:
            sentences.append(
                facts.say("{use.paid_off} devices are older than the years that they were meant to last.", "note")
            )
    table = Table(
        name="Cost per hour",
        title="Cost per hour used",
        columns=[
            Column(key="place", title="Room" if inputs.one else "School"),
            Column(key="devices", title="Devices", unit=Unit.COUNT, total="sum"),
            Column(key="owning", title="Price on these days", unit=Unit.GBP, total="sum"),
            Column(key="energy", title="Energy", unit=Unit.GBP, total="sum"),
            Column(key="hours", title="Machine-hours used", unit=Unit.HOURS, total="sum"),
            Column(key="per_hour", title="An hour of use", unit=Unit.GBP_PER_HOUR),
        ],
        rows=rows,
        empty="No day of it was computed.",
        on="screen",
        note="In it: the price of each device, spread evenly over the years that it is meant to last (nothing after "
        "these), and its energy at the tariff of each day; both from the first day that was computed to the last. A "
        "room's row leaves out servers that stand elsewhere. Not in it: the service contract, licences, the line, "
        "cabling, furniture, people.",
    )
    return Section(title="What an hour of use costs", sentences=sentences, tables=[table])


def _row(title: str, own: Owned, energy_gbp: float | None, in_use_s: int) -> list[Value]:
    known = own.whole is not None and energy_gbp is not None and in_use_s > 0
    per_hour = (own.gbp + (energy_gbp or 0.0)) / (in_use_s / _S_PER_H) if known else None
    return [title, own.devices, own.whole, energy_gbp, in_use_s / _S_PER_H, per_hour]


async def _platform(inputs: Inputs, facts: Facts) -> Section:
    """Indicators of the learning platform by month, with their trend. Of several schools: each one's own."""
    rows: list[list[Value]] = []
    notes: list[str] = []
    sentences = []
    last = min(inputs.span.last, today(inputs))
    for each in inputs.schools:
        found = use_read.indicators(inputs.sources, each.school)
        if found is None:
            continue
        if found.faults:
            notes.append(f"{each.school.title}: {found.faults[0].path.name} cannot be read; caretaker check says why.")
        if found.skipped:
            notes.append(f"{each.school.title}: lines that are no log lines were left out.")
        for name, days in sorted(found.days.items())[:MOST_INDICATORS]:
            told = trend(await use_read.school_days(inputs.sources, each.school, days), last)
            means: list[Value] = [cell for mean in told.means for cell in mean]
            rows.append([each.school.title, name, *means, told.ratio])
            sentences.append(_trend_said(facts, len(rows), each.school.title if not inputs.one else "", name, told))
    columns = [Column(key="school", title="School"), Column(key="indicator", title="Indicator")]
    for number in (1, 2, 3):
        columns.append(Column(key=f"month{number}", title="Month"))
        columns.append(Column(key=f"mean{number}", title="a day", unit=Unit.NUMBER))
    columns.append(Column(key="trend", title="Trend over three months", unit=Unit.RATIO))
    table = Table(
        name="Learning platform",
        title="Learning platform",
        columns=columns,
        rows=rows,
        empty=" ".join(notes)
        or "Nothing is known of the learning platform: name a CSV of date,indicator,value as kpi, or an access log as "
        "access_log, under [schools.review] in estate.toml.",
        note=" ".join(
            [
                "Means of school days. The trend is a straight line through the newest three months that have any "
                "(least squares), its end against its beginning. Only counts per day are kept.",
                *notes,
            ]
        ),
    )
    charts = []
    if inputs.one and len(rows) >= FEWEST_DRAWN and all(row[-1] is not None for row in rows):
        charts.append(
            Chart(
                kind="dots",
                title="Three-month trend of each indicator",
                table=table.name,
                x="indicator",
                y=["trend"],
                alt="A dot for each indicator of the learning platform: by how much it rose or fell over three months.",
            )
        )
    if sentences:
        sentences = [
            facts.say("Measured there: " + "; ".join(sentence.text.rstrip(".") for sentence in sentences) + ".")
        ]
    return Section(title="Learning platform", sentences=sentences, charts=charts, tables=[told_apart(inputs, table)])


def _trend_said(facts: Facts, number: int, school: str, name: str, told: Trend) -> Sentence:
    """ "page views up 30 % over three months" """
    key = f"use.platform_{number}"
    facts.text(f"{key}_name", "indicator of the learning platform", f"{name}, {school}" if school else name)
    share = told.ratio
    facts.add(
        f"{key}_trend",
        f"{name}: change over three months",
        Unit.RATIO,
        None if share is None else abs(share),
        why_not=told.why_not,
        source="learning platform",
    )
    if share is None:
        facts.text(f"{key}_why", "why its trend is not known", told.why_not)
        return facts.say(f"{{{key}_name}}: no trend, {{{key}_why}}.", "note")
    way = "up" if share > 0 else "down" if share < 0 else "changed by"
    return facts.say(f"{{{key}_name}} {way} {{{key}_trend}} over three months.")
