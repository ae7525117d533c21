"""A review pack from what was read: pages, the five figures of the first one, and every fact that they speak of.

    inputs = await read(sources_of(estate, db, store, folder, now_ms), "ash", of_month("2026-09"))
    pack = await build(inputs)

A page is `async (inputs, facts) -> Page` in a file of its own, and a line of `PAGES`: it adds its facts, and says only
what is among them. Pages are made in this order, so one may speak of the facts of those before it, and shown in the
order of `ORDER`.
"""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from caretaker_collector.review import actions, annex, comparison, energy, front, made, network, service, totals, use
from caretaker_collector.review.facts import Facts, keys_of
from caretaker_collector.review.inputs import Inputs
from caretaker_dashboards.review.pack import Chart, Pack, Page, Revision, Table

Maker = Callable[[Inputs, Facts], Awaitable[Page]]
ORDER = ("front", "service", "energy", "use", "network", "comparison", "actions", "made", "annex")
FIRST_REASON = "first made"
LONGEST_NAME = 31
"""A sheet's name may not be longer."""


async def _service(inputs: Inputs, facts: Facts) -> Page:
    return service.page(inputs, facts)


PAGES: tuple[Maker, ...] = (_service, energy.page, use.page, comparison.page, actions.page, network.page, annex.page)


async def build(inputs: Inputs, pages: Sequence[Maker] = PAGES) -> Pack:
    """The pack, as revision 1 that was made now; `keep` gives it its place among those before.

    Unavailable: the store. ValueError: a page is wrong (two facts or tables of one name, a sentence or chart that
    speaks of what is not there).
    """
    facts = Facts()
    totals.add(inputs, facts)
    found = [await page(inputs, facts) for page in pages]
    headlines = front.headlines(inputs, facts)
    found.append(front.page(inputs, facts))
    found.append(made.page(inputs, facts, found))
    now_ms = inputs.sources.now_ms
    pack = Pack(
        place=inputs.where.name,
        title=inputs.where.title,
        period=inputs.span.name,
        period_title=inputs.span.title,
        first=inputs.span.first.isoformat(),
        last=inputs.span.last.isoformat(),
        zone=str(inputs.zone),
        made_ms=now_ms,
        revision=1,
        revisions=[Revision(number=1, made_ms=now_ms, reason=FIRST_REASON)],
        stamp=made.stamp(inputs),
        illustrative=front.illustrative(inputs),
        headlines=headlines,
        pages=sorted(found, key=lambda page: ORDER.index(page.key)),
        facts=facts.known,
    )
    check(pack)
    return pack


def tables_of(pack: Pack) -> list[Table]:
    """All tables, in the order of pages."""
    return [table for page in pack.pages for section in page.sections for table in section.tables]


def check(pack: Pack) -> None:
    """ValueError with every fault of a pack that would make it say what it cannot show."""
    tables, faults = {table.name: table for table in tables_of(pack)}, list[str]()
    if len(tables) != len(tables_of(pack)):
        faults.append("two tables have one name")
    for table in tables_of(pack):
        if len(table.name) > LONGEST_NAME or any(sign in table.name for sign in "[]:*?/\\"):
            faults.append(f"{table.name!r} is no name of a sheet")
        if any(len(row) != len(table.columns) for row in table.rows):
            faults.append(f"{table.name}: a row has not as many cells as there are columns")
        if not table.rows and not table.empty:
            faults.append(f"{table.name} is empty, and does not say why")
    sentences = [sentence for page in pack.pages for section in page.sections for sentence in section.sentences]
    for sentence in [*sentences, *(headline.sentence for headline in pack.headlines)]:
        faults += [f"{sentence.text!r}: no fact {key}" for key in keys_of(sentence) if key not in pack.facts]
    for headline in pack.headlines:
        named = (headline.fact, headline.target, headline.last_month, headline.last_year)
        faults += [f"no fact {key}" for key in named if key is not None and key not in pack.facts]
    for page in pack.pages:
        for section in page.sections:
            for chart in section.charts:
                faults += _faults_of(chart, tables.get(chart.table))
    if faults:
        raise ValueError("; ".join(faults))


def _faults_of(chart: Chart, table: Table | None) -> list[str]:
    if table is None:
        return [f"{chart.title}: no table {chart.table}"]
    known = {column.key for column in table.columns}
    named = [chart.x, *chart.y, chart.by, chart.split, chart.low, chart.high, chart.mark]
    faults = [f"{chart.title}: no column {key}" for key in named if key and key not in known]
    return faults if table.rows else [*faults, f"{chart.title} draws an empty table"]


def as_json(pack: Pack) -> bytes:
    """A pack on disk."""
    return msgspec.json.format(msgspec.json.encode(pack), indent=1)


def from_json(data: bytes) -> Pack:
    """A pack as `as_json` wrote it; also one of an earlier Caretaker that had fewer fields."""
    return msgspec.json.decode(data, type=Pack)
