"""From what somebody typed to the place that an action is about, within what they may see."""

import re
import sqlite3
from collections.abc import Collection

from caretaker_collector import people, records
from caretaker_collector.acts.base import Place, PlaceKind, Unknown
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.order_book import Scope
from caretaker_contract.errors import ConfigError
from caretaker_rules.model import Estate
from caretaker_rules.roles import Who

ALL = "all"
_WORDS: dict[PlaceKind, str] = {
    "estate": "all",
    "school": "a school (ash)",
    "room": "a room (ash/ict1)",
    "device": "a machine (ash/ict1-07)",
    "incident": "an incident (12)",
    "record": "a record (7)",
}
LONGEST = 200


def find(db: sqlite3.Connection, estate: Estate, who: Who, kinds: Collection[PlaceKind], text: str) -> Place:
    """The place of this name or number. Unknown says what there is; to who may see one school, only of that one."""
    text = text.strip()
    if not text:
        raise Unknown([f"where  say where: {' or '.join(_WORDS[kind] for kind in kinds)}"])
    if len(text) > LONGEST or not text.isprintable():
        raise Unknown([f"where  that is no place; write {' or '.join(_WORDS[kind] for kind in kinds)}"])
    if "incident" in kinds:
        return _incident(db, estate, who, text)
    if "record" in kinds:
        return _record(db, estate, who, text)
    found = _machines(estate, who, text)
    if found.kind not in kinds:
        raise Unknown([f"{text}  that is {_named(found.kind)}; write {' or '.join(_WORDS[kind] for kind in kinds)}"])
    return found


def sees(who: Who, school: str) -> bool:
    """Whether something of this school may be named to them at all."""
    return who.schools is None or school in who.schools


def title_of(estate: Estate, scope: Scope) -> str:
    """ "ICT suite 1", "ict1-07", "Ashfield"; the name where there is no title."""
    if scope.device:
        return scope.device
    school = estate.schools.get(scope.school)
    if school is None:
        return str(scope)
    if scope.room is None:
        return school.title or school.name
    return next((room.title for room in school.rooms if room.name == scope.room and room.title), scope.room)


def kind_of(scope: Scope) -> PlaceKind:
    """What kind of place these machines are."""
    return "device" if scope.device else "room" if scope.room else "school"


def text_of(scope: Scope) -> str:
    """The place as an address writes it: "ash/ict1-07", whatever its class; in full where the short form is a room."""
    if scope.device and scope.device != scope.room:
        return f"{scope.school}/{scope.device}"
    return "/".join(part for part in (scope.school, scope.room, scope.device) if part)


def link_of(scope: Scope | None) -> str:
    """The page of the desk where it is seen."""
    if scope is None:
        return "/"
    if scope.device:
        return f"/why/{scope.school}/{scope.device}"
    return f"/rooms/{scope.school}/{scope.room}" if scope.room else f"/schools/{scope.school}"


def _machines(estate: Estate, who: Who, text: str) -> Place:
    if text == ALL:
        return Place(kind="estate", text=ALL, title="the whole estate")
    school = text.partition("/")[0]
    if not sees(who, school):
        raise Unknown([f"{text}  there is no such place, or it is not yours to see"])
    try:
        scope = people.scope(estate, text)
    except ConfigError as error:
        known = f"; there are: {', '.join(sorted(who.schools))}" if who.schools and school not in estate.schools else ""
        raise Unknown([f"{text}  no such school{known}"] if known else error.faults) from None
    title = title_of(estate, scope)
    return Place(kind=kind_of(scope), text=text_of(scope), title=title, school=scope.school, scope=scope)


def _incident(db: sqlite3.Connection, estate: Estate, who: Who, text: str) -> Place:
    number = re.fullmatch(r"(?:INC-)?([0-9]{1,15})", text, re.IGNORECASE)
    if number is None:
        raise Unknown([f"{text}  that is no number of an incident; write 12 or INC-12"])
    incident = incident_book.one(db, int(number[1]))
    if incident is None or not sees(who, incident.subject.school):
        raise Unknown(no_incident(db, who, int(number[1])))
    school = incident.subject.school
    return Place(kind="incident", text=str(incident.number), title=incident.name, school=school, incident=incident)


def no_incident(db: sqlite3.Connection, who: Who, number: int) -> list[str]:
    """That there is none of this number; how far they go, for those who may know it."""
    try:
        if who.schools is None:
            incident_actions.one(db, number)
    except ConfigError as error:
        return error.faults
    return [f"INC-{number}  no such incident"]


def _record(db: sqlite3.Connection, estate: Estate, who: Who, text: str) -> Place:
    record = records.one(db, int(text)) if re.fullmatch(r"[0-9]{1,15}", text) else None
    if record is None or not sees(who, record.scope.school):
        raise Unknown([f"{text}  there is no such hold, freeze, maintenance or silence"])
    title = f"{record.kind} {record.id} of {title_of(estate, record.scope)}"
    return Place(
        kind="record", text=str(record.id), title=title, school=record.scope.school, scope=record.scope, record=record
    )


def _named(kind: PlaceKind) -> str:
    return {"estate": "the whole estate", "school": "a school", "room": "a room"}.get(kind, "a machine")
