"""Actions on a real state file: what they would touch, what they do, and what stands in the log."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from acts_world import ENGINEER, NOW_MS, Desk
from caretaker_collector import order_book, records
from caretaker_collector.acts.registry import ACTIONS
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.ledger import LedgerCommand
from caretaker_collector.memory import Entry, save_entries
from caretaker_collector.numbering import Numberings
from caretaker_contract.messages import Cause, Command, PowerState, Verb
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.ports import Acts
from caretaker_rules.model import Presence, Tracked
from caretaker_rules.roles import ROLE_MAY, Role, Who
from rules_world import london_ms


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

    assert offered() == ["acknowledge", "assign", "note", "pause", "fix"], "there is no other one"
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
    assert "merge" in offered()
    assert desk.acts.form(ENGINEER, "merge", "1", {}).fields[0].choices == [
        ("", "choose one"),
        ("3", "INC-3: The projector hums"),
    ]
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
