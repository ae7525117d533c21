"""Keeps packs: each revision in a folder of its own, never overwritten, with the reason why there is another one.

    data/review/ash/2026-09/r1/pack.json, ash-2026-09.html, ash-2026-09.pdf, ash-2026-09.xlsx
    data/review/ash/2026-09/r2/...      "availability was 99.10 %, is 99.62 % (late reports of ash/ict1-07 for 3 Sep)"

    placed = keep.place(db, data, await build(inputs))     # which revision it is, or that nothing has changed
    if placed.news:
        with keep.room(data, placed.pack) as folder:       # files go here first
            draw(placed.pack, folder)
            kept = keep.put(db, data, placed.pack, folder)

Only what is over is kept: figures of a span under way change every day. A pack whose figures are those of the newest
revision is not kept again, however often it is made. What changes without being a figure (a note in an incident, an
action that was done, today's register) makes none either.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from msgspec import Struct, structs

from caretaker_collector.review import shelf
from caretaker_collector.review.build import FIRST_REASON, as_json, from_json
from caretaker_collector.review.shelf import Kept
from caretaker_contract.errors import Unavailable
from caretaker_dashboards.review.pack import Fact, Pack, Revision, Table, Unit
from caretaker_dashboards.review.words import column, figure, span
from caretaker_rules.calendar import midnight_ms, zone_of

FOLDER, PACK = "review", "pack.json"
STATED = "As it was stated"
"""The table whose newest rows say why a month came out otherwise."""
OF_THE_DAY = frozenset({"front", "made", "actions", "annex"})
"""Pages whose tables are of the day on which the pack is made, or list what others say."""
OF_THE_DAY_FACTS = ("made.", "actions.", "annex.", "stated.")
NO_FIGURES = frozenset({Unit.TEXT, Unit.MARK, Unit.DATE, Unit.MOMENT})
MOST_NAMED = 3


class Placed(Struct, frozen=True, kw_only=True):
    """A pack among the kept ones. `news` False: its figures are those of `known`, the newest."""

    pack: Pack  # with its revision, and all revisions listed
    news: bool
    changed: tuple[str, ...] = ()  # what changed, in words
    known: Kept | None = None


def place(db: sqlite3.Connection, data: Path, pack: Pack) -> Placed:
    """Which revision this pack is. A pack of a span that is not over stays as it is, and is no news."""
    known = shelf.revisions(db, pack.place, pack.period)
    if not is_over(pack):
        return Placed(pack=pack, news=False, known=known[-1] if known else None)
    if not known:
        number = _free(data, pack, 1)
        first = Revision(number=number, made_ms=pack.made_ms, reason=FIRST_REASON)
        return Placed(pack=structs.replace(pack, revision=number, revisions=[first]), news=True)
    newest = known[-1]
    before = read(data, newest)
    changed = [] if before is None else changes(before, pack)
    listed = [Revision(number=each.revision, made_ms=each.made_ms, reason=each.reason) for each in known]
    if before is not None and not changed:
        same = structs.replace(pack, revision=newest.revision, revisions=listed)
        return Placed(pack=same, news=False, known=newest)
    reason = _reason(changed, pack, newest.made_ms) if before is not None else "the files of the one before are gone"
    number = _free(data, pack, newest.revision + 1)
    listed.append(Revision(number=number, made_ms=pack.made_ms, reason=reason))
    placed = structs.replace(pack, revision=number, revisions=listed)
    return Placed(pack=placed, news=True, changed=tuple(changed), known=newest)


@contextmanager
def room(data: Path, pack: Pack) -> Iterator[Path]:
    """A folder beside those of kept packs, to draw files into before `put`; what is still in it then is deleted."""
    beside = data / FOLDER / folder_name(pack.place) / pack.period
    beside.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".being-made-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put(db: sqlite3.Connection, data: Path, pack: Pack, folder: Path) -> Kept:
    """Keep a pack that `place` called news, with the files that lie in `folder`.

    Unavailable: somebody else kept a revision meanwhile, so place it again. ValueError: its span is not over.
    """
    if not is_over(pack):
        raise ValueError(f"{pack.place} {pack.period} is not over")
    (folder / PACK).write_bytes(as_json(pack))
    where = data / FOLDER / folder_name(pack.place) / pack.period / f"r{pack.revision}"
    kept = Kept(
        place=pack.place,
        period=pack.period,
        revision=pack.revision,
        made_ms=pack.made_ms,
        stamp=pack.stamp,
        reason=pack.revisions[-1].reason,
        folder=where.relative_to(data).as_posix(),
        files=tuple(sorted(path.name for path in folder.iterdir())),
    )
    db.execute("BEGIN IMMEDIATE")
    try:
        known = shelf.revisions(db, pack.place, pack.period)
        if [each.revision for each in known] != [each.number for each in pack.revisions[:-1]] or where.exists():
            raise Unavailable(f"{where}: another revision was kept meanwhile")
        shelf.add(db, kept)
        folder.chmod(0o755)
        folder.rename(where)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return kept


def read(data: Path, kept: Kept) -> Pack | None:
    """A pack that was kept; None: its file is gone."""
    try:
        return from_json((data / kept.folder / PACK).read_bytes())
    except FileNotFoundError:
        return None


def is_over(pack: Pack) -> bool:
    """Whether its last day had ended when it was made."""
    last = date.fromisoformat(pack.last)
    return pack.made_ms >= midnight_ms(last + timedelta(days=1), zone_of(pack.zone))


def folder_name(place: str) -> str:
    """A place as the name of a folder; no school's name has an underscore."""
    return place.replace("network:", "network_").replace("/", "_") if place != "all" else "_all"


def _free(data: Path, pack: Pack, number: int) -> int:
    """The first number from `number` on whose folder is not there: one may be left of a moment at which power went."""
    beside = data / FOLDER / folder_name(pack.place) / pack.period
    while (beside / f"r{number}").exists():
        number += 1
    return number


# -- what changed ------------------------------------------------------------------------------------------------------


def changes(before: Pack, now: Pack) -> list[str]:
    """Figures of `now` that are not those of `before`, in words; none: a reader would find the same figures."""
    told = []
    for key, fact in now.facts.items():
        if fact.unit in (Unit.DATE, Unit.MOMENT, Unit.MARK) or key.startswith(OF_THE_DAY_FACTS):
            continue
        old = before.facts.get(key)
        if old is None or not _same_fact(old, fact, now.zone):
            told.append(_told(old, fact, now.zone))
    gone = [key for key in before.facts if key not in now.facts and not key.startswith(OF_THE_DAY_FACTS)]
    told += [f"{before.facts[key].title} is no longer told" for key in gone]
    old_tables, new_tables = _tables(before), _tables(now)
    for name, table in new_tables.items():
        if name not in old_tables or not _same_table(old_tables[name], table, now.zone):
            told.append(f"figures of the table {table.title}")
    return told + [f"the table {table.title} is gone" for name, table in old_tables.items() if name not in new_tables]


def _told(old: Fact | None, new: Fact, zone: str) -> str:
    if old is None:
        return f"{new.title} is told now"
    was, now = figure(old, zone), figure(new, zone)
    if was == now:
        was, now = span(old, zone) or was, span(new, zone) or now
    return f"{new.title} was {was}, is {now}"


def _same_fact(old: Fact, new: Fact, zone: str) -> bool:
    """By the digits that people see."""
    if new.unit is Unit.TEXT and not new.command:
        return True  # words, not a figure
    return (figure(old, zone), span(old, zone)) == (figure(new, zone), span(new, zone))


def _tables(pack: Pack) -> Mapping[str, Table]:
    return {
        table.name: table
        for page in pack.pages
        if page.key not in OF_THE_DAY
        for section in page.sections
        for table in section.tables
        if table.name != STATED
    }


def _same_table(old: Table, new: Table, zone: str) -> bool:
    """By the cells that are figures, and the digits that people see of them."""
    if [each.key for each in old.columns] != [each.key for each in new.columns] or len(old.rows) != len(new.rows):
        return False
    return all(
        column(each.unit, [row[place] for row in old.rows], zone)
        == column(each.unit, [row[place] for row in new.rows], zone)
        for place, each in enumerate(new.columns)
        if each.unit not in NO_FIGURES
    )


def _reason(changed: list[str], pack: Pack, since_ms: int) -> str:
    """What changed, and why, as far as the months say it."""
    named = changed[:MOST_NAMED]
    text = "; ".join(named) + (f"; and {len(changed) - len(named)} more" if len(changed) > len(named) else "")
    why = "; ".join(dict.fromkeys(_stated_reasons(pack, since_ms)))
    return f"{text} ({why})" if why else text


def _stated_reasons(pack: Pack, since_ms: int) -> Iterator[str]:
    for page in pack.pages:
        for section in page.sections:
            for table in section.tables:
                if table.name != STATED:
                    continue
                keys = [column.key for column in table.columns]
                for row in table.rows:
                    cells = dict(zip(keys, row, strict=True))
                    made_ms, revision = cells.get("made"), cells.get("revision")
                    later = isinstance(made_ms, int) and made_ms > since_ms
                    if later and isinstance(revision, int) and revision > 1:
                        yield str(cells.get("reason"))
