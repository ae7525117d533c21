"""The last page: how these figures are made, with what, and the command that recomputes each."""

from collections.abc import Sequence

from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs
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
        "The even share of a plan",
        "What is planned for a school year, by the share of its days that the span has.",
    ),
)


def stamp(inputs: Inputs) -> str:
    """The version of the figures: the pack's method and the stamps of the months in it."""
    stamps = dict.fromkeys(figure.stamp for each in inputs.schools for figure in each.service.months.figures)
    return " ".join([PACK_METHOD, *list(stamps)[:3], *(["and more"] if len(stamps) > 3 else [])])


def page(inputs: Inputs, facts: Facts, pages: Sequence[Page]) -> Page:
    """Made last: it lists every fact."""
    return Page(
        key="made",
        title="How these figures are made",
        question="Where does each figure come from, and how do I get it again?",
        sections=[
            Section(title="What the words mean", tables=[_definitions()]),
            Section(title="What they were reckoned with", tables=[_versions(inputs)]),
            Section(title="Every figure", tables=[_every(facts), _sources(pages)]),
        ],
    )


def _definitions() -> Table:
    return Table(
        name="Definitions",
        title="Definitions",
        columns=[Column(key="word", title="Word"), Column(key="meaning", title="Meaning")],
        rows=[[word, meaning] for word, meaning in DEFINITIONS],
    )


def _versions(inputs: Inputs) -> Table:
    return Table(
        name="Versions",
        title="Versions and settings",
        columns=[
            Column(key="what", title="What"),
            Column(key="which", title="Which"),
            Column(key="from", title="From"),
        ],
        rows=[["the pack's method", PACK_METHOD, "this page"]],
    )


def _every(facts: Facts) -> Table:
    rows: list[list[Value]] = [
        [fact.title, fact.key, fact.source or "the records above", fact.command or "this pack"]
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
    )


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
    )
