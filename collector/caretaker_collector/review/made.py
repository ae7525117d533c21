"""The last page: how these figures are made, with what, and the command that recomputes each."""

import re
from collections.abc import Sequence

from caretaker_collector.days import savings_report
from caretaker_collector.review import energy
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs, SchoolInputs
from caretaker_collector.version import VERSION
from caretaker_dashboards.review.pack import Column, Page, Section, Table, Unit, Value

PACK_METHOD = "review-1"
"""Changes whenever the same records would give another figure in the pack."""
DEFINITIONS: tuple[tuple[str, str], ...] = (
    (
        "Availability",
        "Of the time of service owed and seen, that in which machines were on, or off with a recorded cause and not "
        "needed yet. Planned work that was recorded before it began is left out. Machines' hours are added up, so a "
        "room with many of them weighs more.",
    ),
    (
        "Its range",
        "At least: as if all that nobody saw was down. At most: as if all of it was available. Met or missed is said "
        "only when the whole range lies on one side of the target.",
    ),
    (
        "Fixed in time",
        "Of the incidents opened in the span that are fixed or late, those fixed within the time of their level and "
        "priority. The clock runs in hours of service, and stands still while the school is waited for.",
    ),
    (
        "Ready for lessons",
        "Of the lessons whose beginning was seen, those at which no more of the room's machines were missing than the "
        "level's spare ratio allows.",
    ),
    (
        "Energy used",
        "Seconds in each state, by the machines' own meters, times the watts of their class in that state. Time that "
        "nobody saw is in no figure.",
    ),
    (
        "Energy avoided",
        "Time on avoided against what the same school did while rules only observed, as low, likely and high. It is an "
        "estimate, never metered. By rules and by people apart; a rule gets no credit for an hour in which the machine "
        "was used anyway.",
    ),
    (
        "Cost and carbon",
        "kWh by the tariff and the factor that were valid on each day. A year before is restated with this span's "
        "factor: that the grid became cleaner is nobody's saving.",
    ),
    (
        "Seats used",
        "Machines in use for at least a minute of a lesson or booking, of the machines of its room, summed over "
        "lessons; a booking of more than two hours counts hour by hour. Seats that nobody saw make a range.",
    ),
    (
        "Cost of an hour of use",
        "The price of each device spread evenly over the years that it is meant to last, and the energy of all of "
        "them, for each hour in which a machine was in use. Contract, licences, line and people are not in it.",
    ),
    (
        "Repairs without a visit",
        "Incidents that ended within an hour of a restart or wake of ours, of which nobody wrote that they went there "
        "or worked by hand. What went away by itself does not count.",
    ),
    (
        "The even share of a plan",
        "What is planned for a school year, by the share of its days that the span has.",
    ),
)


def stamp(inputs: Inputs) -> str:
    """The version of the figures: the pack's method and the stamps of the first months in it."""
    stamps = dict.fromkeys(figure.stamp for each in inputs.schools for figure in each.service.months.figures)
    return " ".join([PACK_METHOD, *list(stamps)[:3], *(["and more"] if len(stamps) > 3 else [])])


def page(inputs: Inputs, facts: Facts, pages: Sequence[Page]) -> Page:
    """Made last: it lists every fact, and every table of the other pages."""
    return Page(
        key="made",
        title="How these figures are made",
        question="Where does each figure come from, and how do I get it again?",
        sections=[
            Section(
                title="What the words mean",
                sentences=[
                    facts.say(
                        "Every figure comes from what machines reported and people wrote down, and can be had again "
                        "from the same records; the spreadsheet has the command of each."
                    )
                ],
                tables=[_definitions(facts)],
            ),
            Section(
                title="What they were reckoned with", tables=[energy.rates(inputs), _versions(inputs), _watts(inputs)]
            ),
            Section(
                title="How to get them again", tables=[_commands(inputs, facts), _every(inputs, facts), _sources(pages)]
            ),
        ],
    )


def _definitions(facts: Facts) -> Table:
    return Table(
        name="Definitions",
        title="Definitions",
        columns=[Column(key="word", title="Word"), Column(key="meaning", title="Meaning")],
        rows=[[word, meaning] for word, meaning in (*DEFINITIONS, *facts.definitions.items())],
    )


def _versions(inputs: Inputs) -> Table:
    """Methods, levels, policies and baselines."""
    rows: list[list[Value]] = [
        ["Caretaker, and the method of this pack", f"{VERSION}, {PACK_METHOD}"],
    ]
    for each in inputs.schools:
        name = f"{each.school.title}: " if inputs.where.of_many else ""
        rows += [[f"{name}version of service, {figure.month}", figure.stamp] for figure in each.service.months.figures]
        levels = {part.title: part.illustrative for part in each.service.months.parts}
        rows += [
            [f"{name}service level", title + (" (an example, nobody's contract)" if example else "")]
            for title, example in levels.items()
        ]
        rows += [[f"{name}rule", rule] for rule in _policies(inputs, each)]
        rows.append([f"{name}baseline of what was avoided", _baseline(inputs, each)])
    return Table(
        name="Versions",
        title="Versions and settings",
        columns=[
            Column(key="what", title="What"),
            Column(key="which", title="Which"),
        ],
        rows=rows,
        note="The version of service changes with the method, the levels, the hours and the days.",
    )


def _policies(inputs: Inputs, each: SchoolInputs) -> list[str]:
    """Rules that acted, each with its file and the version of it."""
    end_ms = min(inputs.end_ms, inputs.sources.now_ms)
    found = savings_report.policies(inputs.sources.db, each.school.name, inputs.from_ms, end_ms)
    # The name of the file says which one; where it lies on a machine is nobody's business here.
    return [re.sub(r"\(\S*/", "(", rule) for rule in found] or ["none acted"]


def _baseline(inputs: Inputs, each: SchoolInputs) -> str:
    days = inputs.sources.energy.observed_days(each.school.name, each.zone, inputs.sources.now_ms)
    return "none: no observe period is on record" if days is None else f"{days[0]} to {days[1]}, rules only observed"


def _watts(inputs: Inputs) -> Table:
    estate, names = inputs.sources.estate, {each.school.name for each in inputs.schools}
    counts: dict[str, int] = {}
    for device in estate.devices.values():
        if device.school in names:
            counts[device.device_class] = counts.get(device.device_class, 0) + 1
    rows: list[list[Value]] = []
    for name, count in sorted(counts.items()):
        known = estate.classes.get(name)
        if known is None:
            rows.append([name, count, None, None, None, None, "this class is not in estate.toml: it is in no figure"])
        else:
            watts = (known.watts_in_use, known.watts_idle, known.watts_asleep, known.watts_off)
            rows.append([name.replace("_", " "), count, *watts, known.source or "nobody wrote down where from"])
    return Table(
        name="Watts",
        title="Watts of each class, and where they come from",
        columns=[
            Column(key="class", title="Class"),
            Column(key="devices", title="Devices", unit=Unit.COUNT, total="sum"),
            Column(key="in_use", title="In use", unit=Unit.WATTS),
            Column(key="idle", title="Idle", unit=Unit.WATTS),
            Column(key="asleep", title="Asleep", unit=Unit.WATTS),
            Column(key="off", title="Off", unit=Unit.WATTS),
            Column(key="source", title="Source"),
        ],
        rows=rows,
        empty="There is no device in the asset register: add one, and every figure of energy has something to rest on.",
    )


SUBJECTS = {
    "availability": "availability",
    "incidents": "incidents",
    "ready": "rooms ready for lessons",
    "energy": "energy, cost, carbon, and what was avoided",
    "outages": "outages",
    "credits": "credits",
    "use": "use of rooms, seats, cost of an hour",
    "awake": "what keeps machines awake",
    "network": "network and server room",
    "annex": "the annex",
    "actions": "actions",
}


def _commands(inputs: Inputs, facts: Facts) -> Table:
    """The commands that give these figures again, each once, with what it gives."""
    again, found = own_command(inputs), dict[str, dict[str, None]]()
    for key, fact in facts.known.items():
        subject = SUBJECTS.get(key.partition(".")[0])
        if subject is not None and ".last_" not in key:
            found.setdefault(fact.command or again, {})[subject] = None
    own = found.pop(again, {})
    shown = {subject for subjects in found.values() for subject in subjects}
    rows: list[list[Value]] = [[command, ", ".join(what)] for command, what in found.items()]
    if own:
        rows.append(
            [again, "the whole pack, and as the only one: " + ", ".join(what for what in own if what not in shown)]
        )
    return Table(
        name="Commands",
        title="Commands",
        columns=[Column(key="command", title="Command"), Column(key="what", title="What it shows")],
        rows=rows,
        empty="No figure is known.",
        note="Figures of the months to compare with: the same commands with their dates.",
    )


def _every(inputs: Inputs, facts: Facts) -> Table:
    """All facts but those that are words. What no other command gives, this pack's own gives again."""
    again = own_command(inputs)
    rows: list[list[Value]] = [
        [fact.title, fact.key, fact.source or "the records of its page", fact.command or again]
        for fact in facts.known.values()
        if fact.unit is not Unit.TEXT or fact.command
    ]
    return Table(
        name="Every figure",
        title="Every figure, with what recomputes it",
        columns=[
            Column(key="title", title="Figure"),
            Column(key="key", title="Key"),
            Column(key="source", title="Comes from"),
            Column(key="command", title="Recomputed by"),
        ],
        rows=rows,
        note="The names of what it comes from are those of the table of metrics and of the collector's state file.",
        on="sheet",
    )


def own_command(inputs: Inputs) -> str:
    """The command that makes this pack again."""
    span = inputs.span
    return f"caretaker review {inputs.where.name} " + (span.month or f"--from {span.first} --to {span.last}")


def _sources(pages: Sequence[Page]) -> Table:
    rows: list[list[Value]] = [
        [table.title, page.title, len(table.rows)]
        for page in pages
        for section in page.sections
        for table in section.tables
    ]
    return Table(
        name="Every table",
        title="Every table",
        columns=[
            Column(key="table", title="Table"),
            Column(key="page", title="Page"),
            Column(key="rows", title="Rows", unit=Unit.COUNT),
        ],
        rows=rows,
        on="sheet",
    )
