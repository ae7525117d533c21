"""What actions refuse: who may do what and where, what cannot be meant, places that are not there. And their forms."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from acts_world import DIRECTOR, ENGINEER, NOW_MS, Desk
from caretaker_collector import audit, records
from caretaker_collector.acts.base import BadBody
from caretaker_collector.acts.registry import ACTIONS
from caretaker_collector.incidents import book as incident_book
from caretaker_contract.messages import PowerState
from caretaker_dashboards.desk.ports import NotThere
from caretaker_rules.roles import ROLE_MAY, SCOPE_MAY, Permission, Role, Who


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """On a clock that stands still, Tue 20 Oct 2026, noon."""
    yield Desk(tmp_path)


DO: dict[str, tuple[str, dict[str, str]]] = {
    "acknowledge": ("incident", {}), "assign": ("incident", {"to": "x"}), "note": ("incident", {"text": "x"}),
    "pause": ("incident", {"reason": "x"}), "unpause": ("incident", {"reason": "x"}),
    "fix": ("incident", {"reason": "x"}), "merge": ("incident", {"into": "1", "reason": "x"}),
    "report": ("room", {"text": "It hums"}),
    "hold": ("room", {"until": "18:00", "reason": "x"}), "freeze": ("room", {"until": "18:00", "reason": "x"}),
    "maintenance": ("room", {"until": "18:00", "reason": "x"}), "silence": ("room", {"until": "18:00", "reason": "x"}),
    "end": ("record", {"reason": "x"}), "end_once": ("record", {"reason": "x"}), "copy": ("record", {"until": "19:00"}),
    "wake": ("room", {"reason": "x"}), "shut_down": ("room", {"reason": "x"}), "restart": ("room", {"reason": "x"}),
    "sleep": ("room", {"reason": "x"}), "stop": ("room", {"reason": "x"}), "resume": ("room", {"reason": "x"}),
    "stay_link": ("room", {"reason": "x"}), "revoke_stay_link": ("room", {"reason": "x"}),
}  # fmt: skip
INCIDENTS = {"acknowledge", "assign", "note", "pause", "unpause", "fix", "merge", "report"}
HOLDS = {"hold", "copy"}  # and `end` of one's own
RECORDS = {"freeze", "maintenance", "silence", "end", "end_once"}
SWITCH = {"wake", "shut_down", "restart", "sleep"}
STOP = {"stop", "resume"}
LINKS = {"stay_link", "revoke_stay_link"}
ALL = INCIDENTS | HOLDS | RECORDS | SWITCH | STOP | LINKS
MAY: dict[str, set[str]] = {
    "viewer": set(),
    "engineer": ALL - LINKS,
    "manager": ALL,
    "director": HOLDS | STOP,
    "token read": set(),
    "token incidents": INCIDENTS,
    "token operate": ALL - LINKS,
}
"""Who may do what at a school of theirs, written out once more by hand."""
PLACES = {
    "ash": {"incident": "1", "room": "ash/ict1", "record": "1"},
    "oak": {"incident": "2", "room": "oak/lab", "record": "2"},
}


@pytest.mark.parametrize("role", MAY)
async def test_who_may_do_what_and_where(desk: Desk, role: str) -> None:
    """Each role and scope, each action, at one's own school and at another one: what is not allowed changes nothing."""
    assert set(DO) == ALL == set(ACTIONS)
    kind = role.removeprefix("token ")
    may = SCOPE_MAY[kind] if role.startswith("token") else ROLE_MAY[Role(kind)]
    for school in ("ash", "oak"):
        await desk.act("hold", PLACES[school]["room"], until="18:00", reason="by somebody else")
    for bound in (("ash",), None):
        who = Who(name=role, via="desk", may=may, schools=bound)
        for action, (where, fields) in DO.items():
            for school in ("ash", "oak"):
                place = PLACES[school][where]
                allowed = action in MAY[role] and (bound is None or school in bound)
                said = await refused(desk, who, action, place, fields)
                assert (said == "") == allowed, (role, bound, action, school, said)
                if bound is not None and school not in bound:
                    nobody = {"incident": "INC-77", "record": "77", "room": "elm/lab"}[where]
                    there = await refused(desk, who, action, nobody, fields)
                    assert said.replace("INC-2", "INC-77").replace("2 ", "77 ").replace("2:", "77:") in (
                        there, there.replace("elm/lab", place),
                    ), "another school looks like none"  # fmt: skip
    whole = Who(name=role, via="desk", may=may, schools=("ash",))
    assert await refused(desk, whole, "stop", "all", {"reason": "x"}) != "", "the estate is nobody's school"


async def refused(desk: Desk, who: Who, action: str, place: str, fields: dict[str, str]) -> str:
    """Why this is not theirs to do; "" when it is, whatever came of it."""
    answered = await desk.acts.preview(who, action, place, fields)
    words = answered.lines[0]
    unknown = ("no such place", "there is no such hold", "no such incident", "may not", "may do this only", "own holds")
    return words if not answered.ok and any(word in words for word in unknown) else ""


async def test_a_director_ends_the_holds_that_they_wrote_and_no_other(desk: Desk) -> None:
    """Nor any at another school."""
    await desk.act("hold", "ash/ict1", until="18:00", reason="club")
    await desk.act("hold", "ash/ict1", DIRECTOR, until="18:00", reason="parents' evening")
    assert [offer.action for offer in desk.acts.offers(DIRECTOR, "record", "1")] == ["copy"]
    assert [offer.action for offer in desk.acts.offers(DIRECTOR, "record", "2")] == ["end", "copy"]
    other = await desk.act("end", "1", DIRECTOR, reason="x")
    assert (other.ok, other.lines) == (False, ["hold 1 was written by sam; you may end your own holds only."])
    assert (await desk.act("end", "2", DIRECTOR, reason="x")).ok
    assert [line.outcome.partition(":")[0] for line in desk.log()] == ["done", "refused", "done", "done"]


async def test_a_director_copies_holds_and_nothing_else(desk: Desk) -> None:
    """A freeze that somebody else wrote is not theirs to write once more."""
    await desk.act("freeze", "ash/ict1", until="18:00", reason="exam")
    assert desk.acts.offers(DIRECTOR, "record", "1") == []
    copied = await desk.act("copy", "1", DIRECTOR, until="19:00")
    assert copied.lines == ["freeze 1 may be copied by those who write such records only."]


async def test_an_incident_of_another_school_cannot_be_told_by_merging_into_it(desk: Desk) -> None:
    """Who may see one school is told the same of another school's number as of one that nobody has."""
    mine = Who(name="token", via="api", may=SCOPE_MAY["operate"], schools=("ash",))
    told = []
    for number in ("2", "77"):
        with pytest.raises(BadBody) as caught:
            await desk.act("merge", "1", mine, into=number, reason="x")
        told.append(caught.value.faults[0].replace(number, "N"))
    assert told[0] == told[1]


async def test_what_was_refused_stands_in_the_log_of_the_school_where_it_was_tried(desk: Desk) -> None:
    """With who, what and why."""
    viewer = Who(name="guest", via="desk", may=ROLE_MAY[Role.VIEWER])
    answered = await desk.act("shut_down", "oak/lab", viewer, reason="for fun")
    assert (answered.ok, answered.lines) == (False, ["Shut down: guest may not switch machines."])
    await desk.act("stop", "oak", DIRECTOR, reason="x")
    await desk.act("fly", "ash", ENGINEER, reason="x")
    [line] = audit.listed(desk.db, "oak")
    assert (line.who, line.what, line.place, line.text) == ("guest", "shut_down", "oak/lab", "for fun")
    assert line.outcome == "refused: Shut down: guest may not switch machines."
    [there] = audit.listed(desk.db, "ash")
    assert (there.who, there.place, there.outcome.partition(":")[0]) == ("head", "oak", "refused")


HOSTILE = [
    ("hold", "ash/ict1", {"until": "18:00", "reason": ""}, "Why is missing."),
    ("hold", "ash/ict1", {"until": "18:00", "reason": "  \n "}, "Why is missing."),
    ("hold", "ash/ict1", {"until": "18:00", "reason": "x" * 2_000}, "Why is too long: 200 characters at most."),
    (
        "hold",
        "ash/ict1",
        {"until": "18:00", "reason": "a\x07b"},
        "Why holds a character that cannot be shown (U+0007); take it out.",
    ),
    (
        "hold",
        "ash/ict1",
        {"until": "18:00", "reason": "a\u202egnp"},
        "Why holds a character that cannot be shown (U+202E); take it out.",
    ),
    (
        "hold",
        "ash/ict1",
        {"until": "18:00", "reason": "a\ud800"},
        "Why holds a character that cannot be shown (U+D800); take it out.",
    ),
    ("note", "1", {"text": "x" * 2_001}, "What is too long: 2000 characters at most."),
    ("hold", "ash/ict1", {"until": "2026-10-19 12:00", "reason": "x"}, "The end 2026-10-19 12:00: that is past."),
    ("hold", "ash/ict1", {"until": "sixish", "reason": "x"}, "The end 'sixish': give a local time such as"),
    ("hold", "ash/ict1", {"until": "99999-01-01 00:00", "reason": "x"}, "The end '99999-01-01 00:00'"),
    ("hold", "ash/ict1", {"until": "18:00", "from": "19:00\x00", "reason": "x"}, "From holds a character"),
    (
        "hold",
        "ash/ict1",
        {"until": "18:00", "reason": "x", "repeat": "hourly"},
        "Comes again: 'hourly' is none of what there is.",
    ),
    ("hold", "ash/ict1", {"until": "18:00", "reason": "x", "repeat": "daily"}, "A repeat needs the last day"),
    ("hold", "ash/ict1", {"until": "18:00", "reason": "x", "until_date": "2026-12-18"}, "The last day needs"),
    ("hold", "ash/ict1", {"until": "18:00", "reason": "x", "class": "toaster"}, "The class toaster: no such class"),
    ("shut_down", "ash/ict1", {"reason": "x", "warn_s": "5"}, "Seconds of warning has to be at least"),
    ("shut_down", "ash/ict1", {"reason": "x", "warn_s": "soon"}, "Seconds of warning has to be a whole number."),
    ("merge", "1", {"into": "-3", "reason": "x"}, "Into has to be at least 1."),
    ("merge", "1", {"into": "one", "reason": "x"}, "Into has to be a whole number."),
    ("assign", "1", {"to": "y" * 81}, "To whom is too long: 80 characters at most."),
]


@pytest.mark.parametrize(("action", "place", "fields", "told"), HOSTILE)
async def test_what_cannot_be_meant_is_a_sentence_and_changes_nothing(
    desk: Desk, action: str, place: str, fields: dict[str, str], told: str
) -> None:
    """It stands in the log as refused; and the form says which field it is about."""
    with pytest.raises(BadBody) as caught:
        await desk.acts.act(ENGINEER, action, place, fields)
    assert caught.value.faults[0].startswith(told), caught.value.faults
    assert records.listed(desk.db, NOW_MS, past=False) == [] and len(incident_book.log_of(desk.db, "u1")) == 1
    [line] = desk.log()
    assert line.outcome.startswith("refused: ") and line.outcome.isprintable() and line.text.isprintable()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("elm", "elm: no school 'elm'; there are: ash, oak."),
        ("ash/attic", "ash/attic: no room 'attic' in ash; there are: ict1."),
        ("ash/ict1/pc-999", "ash/ict1/pc-999: no machine 'pc-999' in ash; the register of the school names them all."),
        ("oak/lab/pc-000", "oak/lab/pc-000: no machine 'pc-000' in oak; the register of the school names them all."),
        ("all", "all: that is the whole estate; write a school (ash)"),
        ("../../etc/passwd", "../../etc/passwd: no machine 'etc/passwd' in .."),
        ("ash'; DROP TABLE holds;--", "ash'; DROP TABLE holds;--: no school"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>: no"),
        ("ash\x00", "where: that is no place"),
    ],
)
async def test_a_place_that_is_not_there_is_said_to_be_none(desk: Desk, place: str, told: str) -> None:
    """On a form it is not there; done, it is refused and logged; nothing else is written."""
    answered = await desk.act("hold", place, until="18:00", reason="x")
    assert not answered.ok and answered.lines[0].startswith(told), answered.lines
    with pytest.raises(NotThere):
        desk.acts.form(ENGINEER, "hold", place, {})
    with pytest.raises(NotThere):
        desk.acts.offers(ENGINEER, "incident", place or "0")
    with pytest.raises(BadBody, match="place is too long"):
        await desk.act("hold", "x" * 5_000, until="18:00", reason="x")
    assert records.listed(desk.db, NOW_MS, past=False) == [] and len(desk.log()) == 2


async def test_markup_right_to_left_text_and_emoji_are_kept_as_they_are(desk: Desk) -> None:
    """They are shown as text; nothing of them is lost."""
    reason = '<img src=x onerror=alert(1)> "quoted" \u05e9\u05dc\u05d5\u05dd \U0001f468\u200d\U0001f3eb'
    done = await desk.act("hold", "ash/ict1", until="18:00", reason=reason)
    record = records.one(desk.db, 1)
    assert done.ok and record is not None and record.reason == reason


def test_a_form_asks_for_what_the_action_takes_with_what_is_likely(desk: Desk) -> None:
    """Filled in from the address where it says so; without a place and who asks, which the page knows."""
    form = desk.acts.form(ENGINEER, "hold", "ash/ict1", {"reason": "chess club"})
    assert (form.title, form.button, form.place_title) == ("Keep ICT suite 1 on", "Hold", "ICT suite 1")
    found = {field.name: (field.kind, field.value, field.required, field.longest) for field in form.fields}
    assert found == {
        "until": ("time", "2026-10-20 13:00", True, 20),
        "from": ("time", "", False, 20),
        "reason": ("text", "chess club", True, 200),
        "repeat": ("choice", "", False, 20),
        "until_date": ("day", "", False, 10),
    }, "and of no class: there is but one"
    assert desk.acts.form(ENGINEER, "shut_down", "ash", {}).danger
    for action, (where, _) in DO.items():
        if action not in LINKS and where != "record":
            made = desk.acts.form(ENGINEER, action, PLACES["ash"][where], {})
            assert made.explains[0].isupper() and made.explains[-1] == "." and made.title


def test_what_is_offered_fits_the_place_and_the_person(desk: Desk) -> None:
    """A machine that is off is offered a wake first; nobody is offered what they may not do."""
    desk.states(pc_000=PowerState.OFF, pc_001=PowerState.IDLE)

    def offered(who: Who, kind: str, place: str) -> list[str]:
        return [offer.action for offer in desk.acts.offers(who, kind, place)]  # type: ignore[arg-type]

    assert offered(ENGINEER, "device", "ash/pc-000")[:2] == ["wake", "hold"]
    assert offered(ENGINEER, "device", "ash/pc-001")[:2] == ["hold", "shut_down"]
    assert offered(DIRECTOR, "school", "ash") == ["hold", "stop"]
    assert offered(ENGINEER, "estate", "") == ["stop"]
    with pytest.raises(NotThere):
        desk.acts.offers(DIRECTOR, "school", "oak")
    viewer = Who(name="v", via="desk", may=frozenset({Permission.SEE}))
    assert offered(viewer, "room", "ash/ict1") == []
