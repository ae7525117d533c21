"""Doing an action, or looking what it would touch: the one gate for the desk, the API and the command line.

Permission and school are checked here, so that no way in can forget it, and every act is in the audit log: what is done
in the transaction that does it, what is refused after it. Work with the file is done in a thread, on a connection of
its own: the rules that run in the same process do not wait for it.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from caretaker_collector import audit, order_book, state
from caretaker_collector.acts import forms, known, places, words
from caretaker_collector.acts.base import ActBody, Action, Ctx, Done, NotAllowed, Place, Site, Unknown, Waits
from caretaker_collector.acts.registry import ACTIONS
from caretaker_collector.order_book import Found
from caretaker_contract.errors import CaretakerError, ConfigError, Unavailable
from caretaker_rules.roles import Permission, Who

POLL_S = 0.05
LOOK_S = 2.0
"""Real seconds that somebody who only looks is made to wait: the form opens, with what is known without an answer."""
NOTHING_DONE = "nothing was done, please try again in a minute"
Asked = ActBody | Mapping[str, Any]
"""What an action is asked with: read already, or as it came."""

_MAY = {
    Permission.INCIDENTS: "work on incidents",
    Permission.HOLD: "keep machines on",
    Permission.RECORDS: "write down freezes, maintenance and silences",
    Permission.SWITCH: "switch machines",
    Permission.STOP: "use the stop switch",
    Permission.ADMINISTER: "look after accounts and links",
    Permission.SEE: "see this",
}


def action_of(name: str) -> Action:
    """The action of this name. Unknown says which there are."""
    if name not in ACTIONS:
        raise Unknown([f"{name[:40]}  there is no such action; there are: {', '.join(ACTIONS)}"])
    return ACTIONS[name]


async def perform(
    site: Site,
    who: Who,
    action: Action,
    body: Asked,
    *,
    preview: bool = False,
    strict: bool = True,
) -> Done:
    """Do it, or with `preview` say what it would touch. `body`: read already, or as it came; from a form not `strict`.

    ConfigError (NotAllowed, Unknown) says why it is refused; Unavailable that the collector or its file did not answer.
    """
    first = await asyncio.to_thread(_begin, site, who, action, body, preview, strict)
    if first.waits is None:
        return first
    wait_s = min(site.wait_s, LOOK_S) if preview else site.wait_s
    found = await _answer(site, first.waits, wait_s)
    if found is not None:
        done = first.waits.told(found)
        if preview or not found.refused:
            return done
        await asyncio.to_thread(refuse, site, who, action, body, found.refused, done.answered.link)
        return done
    gone = f"no collector took the order within {wait_s:g} s, so it was withdrawn; is `caretaker collect` running?"
    if not preview:
        await asyncio.to_thread(refuse, site, who, action, body, gone, first.answered.link)
    raise Unavailable(gone)


def touched(site: Site, who: Who, action: Action, place: str) -> str:
    """What an action is about, whatever else is still to be filled in: "31 machines in ICT suite 1: 4 in use". As
    `perform`, it names nothing to who may not do it there."""
    with _opened(site) as db:
        ctx = context(site, db, who, action, place)
        if action.needs is not None:
            action.needs(ctx)
        found = ctx.place
        if found.incident is not None:
            return f"{found.incident.name}: {found.incident.title}"
        if found.scope is None:
            return (
                found.title
                if found.kind == "record"
                else f"{words.machines(len(site.estate.devices))} in {found.title}"
            )
        devices = found.scope.devices(site.estate)
        states = known.in_words(known.states(db, found.scope.school, devices))
        where = found.title if found.scope.device else f"{words.machines(len(devices))} in {found.title}"
        return f"{where}: {states}" if states else where


def context(site: Site, db: sqlite3.Connection, who: Who, action: Action, place: str) -> Ctx:
    """The action at its place, found and allowed. Unknown, NotAllowed."""
    now_ms = site.now_ms(db)
    return Ctx(db, site, who, now_ms, allowed(who, action, places.find(db, site.estate, who, action.kinds, place)))


def allowed(who: Who, action: Action, place: Place) -> Place:
    """The place, if they may do that there; else NotAllowed."""
    if who.allows(action.permission, place.school or None):
        return place
    if action.permission in who.may:
        raise NotAllowed([f"{place.text}  {who.name} may do this only at {', '.join(who.schools or ())}"])
    raise NotAllowed([f"{action.label}  {who.name} may not {_MAY[action.permission]}"])


def _begin(site: Site, who: Who, action: Action, body: Asked, preview: bool, strict: bool) -> Done:
    with _opened(site) as db:
        place = None
        try:
            asked = body if isinstance(body, ActBody) else forms.read(action, body, strict)
            place = places.find(db, site.estate, who, action.kinds, asked.place)
            ctx = Ctx(db, site, who, site.now_ms(db), allowed(who, action, place))
            if action.needs is not None:
                action.needs(ctx)
            forms.check_texts(action, asked)
            if preview:
                return action.preview(ctx, asked)
            with _transaction(db):
                done = action.do(ctx, asked)
                outcome = audit.DONE if done.answered.ok else f"nothing to do: {done.answered.lines[0]}"
                _note(db, site, who, action, place, done.noted, outcome, done.answered.link)
            return done
        except (ConfigError, sqlite3.IntegrityError) as error:
            refused = error if isinstance(error, ConfigError) else ConfigError(["the very same was written just now"])
            if not preview:
                outcome = f"refused: {words.sentence(refused)}"
                _note(db, site, who, action, place or _place_text(body), _reason(body), outcome, "")
            raise refused from None


def refuse(site: Site, who: Who, action: Action, body: Asked, why: str, link: str = "") -> None:
    """Write down that it was refused. An order that was placed before has a line of its own then."""
    with _opened(site) as db:
        place: Place | str = _place_text(body)
        with suppress(Unknown):
            place = places.find(db, site.estate, who, action.kinds, _place_text(body))
        _note(db, site, who, action, place, _reason(body), f"refused: {why}", link)


def _note(
    db: sqlite3.Connection,
    site: Site,
    who: Who,
    action: Action,
    place: Place | str,
    text: str,
    outcome: str,
    link: str,
) -> None:
    """One line. `place` as it was typed when it was not found: it goes to the school that it seems to be of."""
    if isinstance(place, Place):
        school, name = place.school, place.title if place.kind == "incident" else place.text
    else:
        own = who.schools[0] if who.schools else ""
        school, name = place.partition("/")[0], _shown(place)
        school = school if school in site.estate.schools and places.sees(who, school) else own
    outcome = _shown(outcome)
    now_ms = site.now_ms(db)
    audit.append(db, who, action.name, now_ms, school=school, place=name, text=_shown(text), outcome=outcome, link=link)


def _reason(body: Asked) -> str:
    """The reason that was given, whatever else is wrong with it."""
    for name in ("reason", "text"):
        value = getattr(body, name, "") if isinstance(body, ActBody) else body.get(name, "")
        if value and isinstance(value, str):
            return value
    return ""


def _place_text(body: Asked) -> str:
    value = body.place if isinstance(body, ActBody) else body.get("place", "")
    return value if isinstance(value, str) else ""


def _shown(text: str) -> str:
    """A text that may hold anything, on one line and without what cannot be shown."""
    return "".join(character if character.isprintable() else " " for character in text)


@contextmanager
def _opened(site: Site, kept: str = NOTHING_DONE) -> Iterator[sqlite3.Connection]:
    """A connection for one piece of work. Unavailable when the file does not answer; `kept` says what came of it."""
    db = state.open_state(site.state)
    try:
        yield db
    except sqlite3.OperationalError as error:
        if state.is_busy(error):
            raise Unavailable(f"something else keeps the state file; {kept}") from error
        raise Unavailable(f"{site.state.name}: {error}") from error
    finally:
        db.close()


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


async def _answer(site: Site, waits: Waits, wait_s: float) -> Found | None:
    """What the running collector says; None when it says nothing, and then the order is withdrawn (also at Ctrl-C)."""
    with _opened(site, f"order {waits.order} was given, and its page says what became of it") as db:
        try:
            found = await _poll(db, waits.order, wait_s)
        except BaseException:
            order_book.withdraw(db, waits.order)
            raise
        withdrawn = await asyncio.to_thread(order_book.withdraw, db, waits.order)
        if found is None and not withdrawn:  # it was taken at the last moment: the answer is on its way
            found = await _poll(db, waits.order, wait_s)
            if found is None:
                raise Unavailable(
                    f"order {waits.order} was taken, and no answer came; `caretaker why` shows what was decided"
                )
        with suppress(sqlite3.OperationalError):  # the answer is here; a look that was not tidied up hurts nobody
            await asyncio.to_thread(order_book.forget, db, waits.order)
        return found


async def _poll(db: sqlite3.Connection, order: int, wait_s: float) -> Found | None:
    for _ in range(round(wait_s / POLL_S)):
        found = await asyncio.to_thread(order_book.answer, db, order)
        if found is not None:
            return found
        await asyncio.sleep(POLL_S)
    return None


def sentence(error: CaretakerError) -> str:
    """Why something was refused, as one sentence."""
    if isinstance(error, ConfigError):
        return words.sentence(error)
    text = str(error)
    return text[:1].upper() + text[1:].rstrip(".") + ("" if text.endswith("?") else ".")
