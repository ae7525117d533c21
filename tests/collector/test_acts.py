"""Actions on a real state file: what they would touch, what they do, what they refuse, and what stands in the log."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from caretaker_collector import audit, order_book, records, state
from caretaker_collector.acts.base import BadBody, Site
from caretaker_collector.acts.port import DeskActs
from caretaker_collector.acts.registry import ACTIONS
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.ledger import LedgerCommand
from caretaker_collector.memory import Entry, save_entries
from caretaker_collector.numbering import Numberings
from caretaker_collector.settings import load_estate_and_policies
from caretaker_contract.messages import Cause, Command, PowerState, Verb
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.ports import Acts, NotThere
from caretaker_dashboards.desk.views import Answered
from caretaker_rules.model import Presence, Tracked
from caretaker_rules.roles import ROLE_MAY, SCOPE_MAY, Permission, Role, Who
from rules_world import london_ms
from telling_world import make_incident
from worlds import make_world

NOW_MS = london_ms("2026-10-20 12:00")
ENGINEER = Who(name="sam", via="desk", may=ROLE_MAY[Role.ENGINEER])
DIRECTOR = Who(name="head", via="desk", may=ROLE_MAY[Role.DIRECTOR], schools=("ash",))


class Desk:
    """Two schools, ash with three machines and an incident, oak with one of each; somebody at the desk."""

    def __init__(self, folder: Path) -> None:
        world = make_world(folder, 1883, devices=3)
        file = world.folder / "estate.toml"
        (folder / "oak.csv").write_text("device,room,class,mac,tags\nx,lab,desktop,02:00:00:00:00:09,\n")
        oak = '\n[[schools]]\nname = "oak"\ntitle = "Oakley"\ndevices = "oak.csv"\n'
        oak += '[[schools.rooms]]\nname = "lab"\nlessons = []\n[[schools.rooms]]\nname = "attic"\nlessons = []\n'
        file.write_text(file.read_text() + oak)
        register = folder / "ash.csv"
        rows = register.read_text().replace("pc-000,ict1,desktop,", "pc-000,ict1,desktop,02:00:00:00:00:01")
        register.write_text(rows)
        world.data.mkdir()
        estate, policies = load_estate_and_policies(file)
        self.path = world.data / "state.db"
        self.db: sqlite3.Connection = state.open_state(self.path)
        self.now_ms = NOW_MS
        self.site = Site(self.path, estate, policies, lambda db: self.now_ms, folder, wait_s=0.2)
        self.acts = DeskActs(self.site)
        make_incident(self.db, "u1", device="pc-000", at_ms=NOW_MS - 600_000)
        make_incident(self.db, "u2", device="x", school="oak", at_ms=NOW_MS - 600_000)

    async def act(self, action: str, place: str, who: Who = ENGINEER, **fields: str) -> Answered:
        """Do it."""
        return await self.acts.act(who, action, place, {name.rstrip("_"): value for name, value in fields.items()})

    async def preview(self, action: str, place: str, who: Who = ENGINEER, **fields: str) -> Answered:
        """Look what it would touch."""
        return await self.acts.preview(who, action, place, {name.rstrip("_"): v for name, v in fields.items()})

    def states(self, **states: PowerState) -> None:
        """What machines of ash are now: pc_000=..."""
        entries = {
            Address("ash", name.replace("_", "-")): Entry(
                Tracked(Presence(state=found, since_ms=NOW_MS - 3_600_000, cause=Cause.RULE)), Numberings()
            )
            for name, found in states.items()
        }
        save_entries(self.db, entries)

    def log(self) -> list[audit.Line]:
        """The audit log, the newest first."""
        return audit.listed(self.db)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """On a clock that stands still, Tue 20 Oct 2026, noon."""
    yield Desk(tmp_path)


async def test_a_hold_says_what_it_touches_is_made_and_is_taken_back(desk: Desk) -> None:
    """From the preview to the undo, each with its line in the log."""
    port: Acts = desk.acts
    desk.states(pc_000=PowerState.IN_USE, pc_001=PowerState.IDLE, pc_002=PowerState.OFF)
    looked = await desk.preview("hold", "ash/ict1", until="18:00", reason="chess club")
    assert looked.lines == [
        "3 machines in ICT suite 1 stay as they are from Tue 20 Oct 12:00 until 18:00: 1 in use, 1 idle, 1 off."
    ]
    assert desk.log() == [] and records.listed(desk.db, NOW_MS, past=False) == []
    done = await port.act(ENGINEER, "hold", "ash/ict1", {"until": "18:00", "reason": "chess club", "csrf": "x"})
    assert (done.ok, done.link) == (True, "/records/1")
    assert done.lines[0] == "hold 1: ash/ict1 stays as it is from Tue 20 Oct 12:00 until 18:00 (chess club)"
    line = desk.log()[0]
    assert (line.who, line.via, line.what, line.school, line.place) == ("sam", "desk", "hold", "ash", "ash/ict1")
    assert (line.text, line.outcome, line.link) == (
        "from Tue 20 Oct 12:00 until 18:00: chess club",
        "done",
        "/records/1",
    )
    again = await desk.preview("hold", "ash/pc-000", until="17:00", reason="x")
    assert again.lines[-1] == "Kept already: all of them, by hold 1 until Tue 20 Oct 18:00."
    assert done.undo is not None
    ended = await desk.act(done.undo.action, done.undo.place, reason="they went home")
    assert (ended.ok, ended.lines) == (True, ["hold 1 of ash/ict1 ended"])
    assert ended.undo is not None and ended.undo.action == "copy"
    back = await desk.act(ended.undo.action, ended.undo.place, **ended.undo.fields)
    assert back.lines[0] == "hold 2: ash/ict1 stays as it is from Tue 20 Oct 12:00 until 18:00 (chess club)"


async def test_what_counts_down_is_called_back_by_a_hold_and_by_the_stop_switch(desk: Desk) -> None:
    """Both say so beforehand, by the very function that calls back."""
    counting_down(desk, "pc-001")
    held = await desk.preview("hold", "ash/ict1", until="18:00")
    assert held.lines[1] == "1 machine counting down now is called back."
    other = await desk.preview("hold", "ash/pc-000", until="18:00")
    assert other.lines == ["pc-000 stays as it is from Tue 20 Oct 12:00 until 18:00; it is not heard of yet now."]
    stop = await desk.preview("stop", "ash")
    assert stop.lines == [
        "Nothing is sent to 3 machines in Ashfield any more, neither off nor on.",
        "1 machine counting down now is called back.",
    ]
    assert (await desk.preview("stop", "all")).lines[0].startswith("Nothing is sent to 4 machines in the whole estate")
    done = await desk.act("stop", "ash", reason="open evening")
    assert (done.lines, done.link) == (["stopped: ash (open evening)"], "/schools/ash")
    assert done.undo is not None and done.undo.action == "resume"
    offered = desk.acts.offers(ENGINEER, "school", "ash")
    assert "resume" in [offer.action for offer in offered] and "stop" not in [offer.action for offer in offered]
    looked = await desk.preview("resume", "ash")
    assert looked.lines == ["Rules and orders switch 3 machines in Ashfield again."]
    back = await desk.act("resume", "ash", reason="it is over")
    assert back.undo is not None and back.undo.fields == {"reason": "open evening"}
    again = await desk.act("resume", "ash", reason="it is over")
    assert (again.ok, again.lines) == (False, ["ash was not stopped"])
    assert [line.outcome for line in desk.log()] == ["nothing to do: ash was not stopped", "done", "done"]


def counting_down(desk: Desk, name: str) -> None:
    """A rule has asked this machine to shut down, and it is warned."""
    command = Command(
        id="c1" * 16, device=f"ash/{name}", verb=Verb.SHUT_DOWN, issued_ms=NOW_MS - 1000, expires_ms=NOW_MS + 60_000,
        cause=Cause.RULE, warn_s=120,
    )  # fmt: skip
    entry = LedgerCommand(command=command, address=Address("ash", name), room="ict1", rule="evening")
    desk.db.execute(
        "INSERT INTO commands (id, school, device, verb, rule, decided_ms, expires_ms, body, status) "
        "VALUES ('c1', 'ash', ?, 'shut_down', 'evening', ?, ?, ?, 'warned')",
        (name, NOW_MS - 1000, NOW_MS + 60_000, msgspec.json.encode(entry)),
    )


async def test_a_silence_names_the_incidents_that_it_silences(desk: Desk) -> None:
    """And the machines of one class only, where one is given."""
    looked = await desk.preview("silence", "ash/ict1", until="18:00", class_="desktop")
    assert looked.lines == [
        "Nobody is told of incidents of 3 machines of class desktop in ICT suite 1 from Tue 20 Oct 12:00 until 18:00.",
        "Open now and silenced: INC-1.",
        "Incidents are recorded all the same, and told afterwards if they are still open.",
    ]
    await desk.act("silence", "ash/ict1", until="18:00", reason="new switch", class_="desktop")
    [record] = records.listed(desk.db, NOW_MS, past=False)
    assert (record.kind, record.scope.device_class, record.by) == ("silence", "desktop", "sam")


async def test_what_repeats_ends_once_or_for_good_and_comes_back_as_it_was(desk: Desk) -> None:
    """A club on Tuesdays: this one is called off, then all of them, then that is taken back."""
    fields = {"from": "12:30", "until": "13:30", "repeat": "weekly", "until_date": "2026-12-15", "reason": "club"}
    await desk.acts.act(ENGINEER, "hold", "ash/ict1", fields)
    desk.now_ms = london_ms("2026-10-20 12:45")
    assert (await desk.act("end_once", "1", reason="ill")).lines == [
        "hold 1 of ash/ict1 ended for this time; it comes again"
    ]
    ended = await desk.act("end", "1", reason="ill for long")
    assert ended.undo is not None
    assert (ended.undo.action, ended.undo.place) == ("hold", "ash/ict1")
    again = await desk.act(ended.undo.action, ended.undo.place, **ended.undo.fields)
    assert again.lines[0] == "hold 2: ash/ict1 stays as it is each Tuesday 12:30-13:30, 27 Oct to 15 Dec 2026 (club)"


async def test_incidents_are_worked_on_from_the_desk(desk: Desk) -> None:
    """Offers follow what it is now; what was so already is said; the log has a line for each."""

    def offered() -> list[str]:
        return [offer.action for offer in desk.acts.offers(ENGINEER, "incident", "1")]

    assert offered() == ["acknowledge", "assign", "note", "pause", "fix", "merge"]
    looked = await desk.preview("acknowledge", "1")
    assert looked.lines[0] == "INC-1: its response clock ends, and nobody is reminded of it any more."
    assert len(incident_book.log_of(desk.db, "u1")) == 1
    assert (await desk.act("acknowledge", "INC-1")).link == "/incidents/1"
    assert (await desk.act("acknowledge", "1")).lines == ["INC-1 was so already: acknowledged"]
    await desk.act("assign", "1", to="network team", reason="it is the switch")
    paused = await desk.act("pause", "1", reason="room locked")
    assert paused.undo is not None and paused.undo.action == "unpause" in offered()
    await desk.act(paused.undo.action, paused.undo.place, reason="it is open")
    await desk.act("note", "1", text="<b>new</b> cable\r\nordered")
    form = desk.acts.form(ENGINEER, "merge", "1", {})
    assert form.fields[0].choices == []
    made = await desk.act("report", "ash/ict1", text="The projector hums")
    assert made.link == "/incidents/3"
    assert desk.acts.form(ENGINEER, "merge", "1", {}).fields[0].choices == [("3", "INC-3: The projector hums")]
    assert (await desk.act("merge", "3", into="1", reason="the same")).lines == ["INC-3 merged into INC-1: the same"]
    await desk.act("fix", "1", reason="cable changed")
    assert offered() == ["note"]
    refused = await desk.act("pause", "1", reason="x")
    assert refused.lines == ["INC-1 is fixed already; if it comes back, it is opened again."]
    log = [(line.what, line.place, line.text, line.outcome.partition(":")[0]) for line in desk.log()][::-1]
    assert log == [
        ("acknowledge", "INC-1", "", "done"),
        ("acknowledge", "INC-1", "", "nothing to do"),
        ("assign", "INC-1", "assigned to network team: it is the switch", "done"),
        ("pause", "INC-1", "room locked", "done"),
        ("unpause", "INC-1", "it is open", "done"),
        ("note", "INC-1", "<b>new</b> cable ordered", "done"),
        ("report", "ash/ict1", "The projector hums", "done"),
        ("merge", "INC-3", "merged into INC-1: the same", "done"),
        ("fix", "INC-1", "cable changed", "done"),
        ("pause", "INC-1", "x", "refused"),
    ]
    assert incident_book.log_of(desk.db, "u1")[5].text == "<b>new</b> cable\nordered"


async def test_a_wake_says_how_many_are_off_and_who_cannot_be_woken(desk: Desk) -> None:
    """By what decides on wakes: without a relay nobody can be, and with one those without a MAC address cannot."""
    desk.states(pc_000=PowerState.OFF, pc_001=PowerState.OFF, pc_002=PowerState.IDLE)
    nobody = await desk.preview("wake", "ash/ict1")
    assert (nobody.ok, nobody.lines[0]) == (False, "3 machines in ICT suite 1: 1 on already.")
    relay = Tracked(Presence(state=PowerState.IDLE, since_ms=1), abilities=(Verb.WAKE,))
    save_entries(desk.db, {Address("ash", "pc-002"): Entry(relay, Numberings())})
    looked = await desk.preview("wake", "ash/ict1")
    assert looked.lines == [
        "3 machines in ICT suite 1: 1 on already, 1 would be woken.",
        "1 machine cannot be woken now: the asset register has no MAC address for it.",
    ]
    done = await desk.act("wake", "ash/ict1", reason="patches")
    assert done.lines[0].startswith("wake 1: ash/ict1, 3 machines; those that are off get up to 3 packets")
    assert (done.undo, done.link) == (None, "/rooms/ash/ict1")
    await desk.act("freeze", "ash", until="18:00", reason="exam")
    frozen = await desk.preview("wake", "ash/pc-000")
    assert (frozen.ok, frozen.lines[1][:36]) == (False, "1 machine cannot be woken now: exam ")
    whole = await desk.act("wake", "ash", reason="x")
    assert whole.lines == ["ash: that is a school; write a room (ash/ict1) or a machine (ash/ict1-07)."]


async def test_without_a_collector_an_order_is_withdrawn_and_said_to_be(desk: Desk) -> None:
    """The log has two lines: that it was given, and that nobody took it."""
    answered = await desk.act("shut_down", "ash/ict1", reason="storm")
    assert not answered.ok and "so it was withdrawn" in answered.lines[0]
    order = order_book.one(desk.db, 1)
    assert order is not None and (order.status, order.found, order.by) == ("withdrawn", None, "sam")
    assert [(line.outcome[:28], line.link) for line in desk.log()] == [
        ("refused: no collector took t", "/orders/1"),
        ("done", "/orders/1"),
    ]
    await desk.preview("sleep", "ash")
    assert [one.id for one in order_book.listed(desk.db)] == [1], "what was only looked at is no order"
    assert order_book.listed(desk.db, "oak") == [] and len(desk.log()) == 2
    assert desk.db.execute("SELECT count(*) FROM orders").fetchone() == (1,)


async def test_a_room_gets_a_link_and_loses_it_again(desk: Desk) -> None:
    """Only by those who look after links; the link itself is in no answer and no log."""
    manager = Who(name="kim", via="desk", may=ROLE_MAY[Role.MANAGER])
    assert "stay_link" not in [offer.action for offer in desk.acts.offers(ENGINEER, "room", "ash/ict1")]
    assert (await desk.preview("stay_link", "ash/ict1", manager)).lines[0].startswith("A link for ICT suite 1 is made")
    done = await desk.act("stay_link", "ash/ict1", manager, reason="for the door")
    token = desk.db.execute("SELECT token FROM stay_links").fetchone()[0]
    assert token not in str(done) and token not in str(desk.log())
    assert (await desk.act("revoke_stay_link", "ash/ict1", manager, reason="lost")).ok
    assert not (await desk.act("revoke_stay_link", "ash/ict1", manager, reason="lost")).ok


@pytest.mark.parametrize(
    "action",
    [
        name
        for name, one in ACTIONS.items()
        if "room" in one.kinds and name not in ("stop", "resume", "report", "stay_link", "revoke_stay_link")
    ],
)
async def test_a_place_without_machines_has_nothing_done_to_it(desk: Desk, action: str) -> None:
    """No row of any kind but the log's (I5)."""
    fields = (
        {"reason": "x", "until": "18:00"} if "until" in str(ACTIONS[action].body.__struct_fields__) else {"reason": "x"}
    )
    answered = await desk.acts.act(ENGINEER, action, "oak/attic", fields)
    assert not answered.ok
    for table in ("holds", "wake_orders"):
        assert desk.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert desk.db.execute("SELECT count(*) FROM orders WHERE status != 'withdrawn'").fetchone() == (0,)


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
    ("shut_down", "ash/ict1", {"reason": "x", "warn_s": "5"}, "Warning has to be at least"),
    ("shut_down", "ash/ict1", {"reason": "x", "warn_s": "soon"}, "Warning has to be a whole number."),
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
        "class": ("choice", "", False, 64),
    }
    assert form.fields[-1].choices == [("", "every machine"), ("desktop", "desktop")]
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
