"""Each action that `test_whole_desk.py` does not click: from its form to what came of it, on the page by itself.

Somebody reads what the form says it would touch, types why and sends it; the simulated machine does it, says no, or is
left alone; the page says so without being loaded again, and so do the audit log and the command line.
"""

from collections.abc import Iterator

import msgspec
import pytest

from browser import PHONE, OpenWindow, Window, shown
from caretaker_collector.numbering import Numberings
from caretaker_contract.messages import Verb
from desk_site import Site, desk_site, fill, form, send, touches
from worlds import eventually

pytestmark = pytest.mark.slow
LIVE = "main"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One desk for all tests of this file; each leaves it as it found it, or uses what is its own."""
    with desk_site(tmp_path_factory.mktemp("desk"), devices=6) as found:
        yield found


def at(site: Site, open_window: OpenWindow, path: str, name: str = "eve", phone: bool = False) -> Window:
    """Somebody who has signed in, at a page."""
    window = open_window(site.base, size=PHONE) if phone else open_window(site.base)
    site.sign_in(window, name)
    window.goto(path)
    return window


def boot_of(site: Site, machine: str) -> int:
    """The newest boot of a machine that the collector has heard of."""
    [(blob,)] = site.records("SELECT numberings FROM devices WHERE device = ?", machine)
    return max(msgspec.msgpack.decode(blob, type=Numberings).epochs[-1].boots)  # type: ignore[arg-type]


def said_of(window: Window, machine: str, text: str) -> None:
    """Until the open page says this of a machine."""
    rows = window.page.locator("main .tile, main .rows li").filter(has_text=machine)
    rows.filter(has_text=text).first.wait_for()


def test_a_machine_is_restarted_and_another_put_to_sleep(site: Site, open_window: OpenWindow) -> None:
    """Its next boot is heard of, and a page of its room that is open beside it shows the other asleep."""
    site.idle()
    room = at(site, open_window, "/rooms/ash/ict1")
    shown(room, LIVE, "6 idle")
    window = at(site, open_window, "/devices/ash/pc-000")
    eventually(lambda: boot_of(site, "pc-000") == 1, 5)
    form(window, "Restart")
    touches(window, "machine pc-000", "1 would be asked to restart, with 2 min of warning")
    assert site.machines.asked(Verb.RESTART) == set(), "looking changes nothing"
    fill(window, reason="updates are waiting")
    assert "1 asked to restart" in send(window)
    shown(window, "main [aria-labelledby=h-history]", "restart: asked")
    shown(window, "main [aria-labelledby=h-why]", 'ordered by eve ("updates are waiting")')
    assert site.machines.asked(Verb.RESTART) == {"ash/pc-000"}
    eventually(lambda: boot_of(site, "pc-000") == 2, 5)
    shown(room, LIVE, "6 idle")

    window.goto("/devices/ash/pc-001")
    form(window, "Sleep")
    touches(window, "1 would be asked to go to sleep")
    fill(window, reason="a quiet afternoon", warn_s="60")
    assert "1 asked to go to sleep, with 60 s of warning" in send(window)
    shown(window, "main .lead", "asleep")
    shown(room, LIVE, "1 asleep")
    assert site.machines.asked(Verb.SLEEP) == {"ash/pc-001"}
    for what, place in (("restart", "ash/pc-000"), ("sleep", "ash/pc-001")):
        assert site.audited(what)[0] == ("eve", "desk", place, "done")
        _, out, _ = site.caretaker("why", place)
        assert f"{what.upper()}, asked" in out and ", done" in out, out


def test_what_is_frozen_or_worked_on_stays_on_and_a_no_at_the_machine_is_heard(
    site: Site, open_window: OpenWindow
) -> None:
    """On a telephone: form and answer count them, and the pages of room and order say who said no."""
    site.idle()
    site.machines.veto.add("pc-004")
    window = at(site, open_window, "/devices/ash/pc-002", phone=True)
    form(window, "Freeze")
    touches(window, "pc-002 stays as it is", "it is idle now", "Nothing is switched there meanwhile")
    fill(window, reason="mock exam")
    assert "stays as it is" in send(window)
    shown(window, LIVE, "mock exam")
    window.goto("/devices/ash/pc-003")
    form(window, "Maintenance")
    touches(window, "pc-003 stays as it is")
    fill(window, reason="a new disk")
    assert "maintenance" in send(window)
    shown(window, LIVE, "a new disk")

    window.goto("/rooms/ash/ict1")
    form(window, "Shut down")
    touches(window, "6 machines in ICT suite 1, 1 frozen, 1 worked on: those stay on", "4 would be asked to shut down")
    shown(window, "dialog button.do", "Shut down 4 machines")
    fill(window, reason="power cut at six")
    assert "1 frozen, 1 worked on: those stay on 4 asked to shut down" in send(window, close=False)
    order = window.page.locator("dialog[open] .acts a", has_text="on record").get_attribute("href") or ""
    window.page.locator("dialog[open] [data-close]").last.click()
    shown(window, LIVE, "3 idle, 3 off by rule")
    said_of(window, "pc-004", "somebody at the machine said no")
    assert site.machines.asked(Verb.SHUT_DOWN) == {f"ash/pc-00{number}" for number in (0, 1, 4, 5)}
    window.check("room-after-a-no", looks=[(PHONE, "light")])

    window.goto(order)
    for machine, text in {
        "pc-000": "done",
        "pc-002": "left alone: frozen",
        "pc-003": "left alone: worked on",
        "pc-004": "(somebody there said no)",
    }.items():
        said_of(window, machine, text)
    for what, place in (("freeze", "ash/pc-002"), ("maintenance", "ash/pc-003"), ("shut_down", "ash/ict1")):
        assert site.audited(what)[0] == ("eve", "desk", place, "done")
    _, out, _ = site.caretaker("why", "ash/pc-004")
    assert "(somebody there said no)" in out, out
    form_of_machine = at(site, open_window, "/devices/ash/pc-004")
    form(form_of_machine, "Restart")
    touches(form_of_machine, "machine pc-004, where somebody said no a while ago: it is left alone")


def test_planned_work_repeats_ends_once_is_copied_and_ended(site: Site, open_window: OpenWindow) -> None:
    """Written in the library, where the relay is; the page of records follows, and an order heeds what is on."""
    room = at(site, open_window, "/rooms/ash/lib")
    form(room, "Maintenance")
    fill(room, reason="cleaning of the racks", repeat="weekly", until_date="2031-06-01")
    touches(room, "1 machine in Library stays as it is each ")
    send(room)
    shown(room, LIVE, "repeats")
    shown(room, LIVE, "on now")
    [(number,)] = site.records("SELECT id FROM holds WHERE reason = 'cleaning of the racks'")

    window = at(site, open_window, "/records?place=ash/lib")
    form(window, "End for this time")
    touches(window, "ends now, and comes again")
    fill(window, reason="done early")
    assert "ended for this time; it comes again" in send(window)
    shown(window, f"#record-{number}", "next ")
    shown(room, LIVE, "next ")

    form(window, "Copy")
    touches(window, "1 machine in Library stays as it is")
    fill(window, from_="", until="23:59", reason="cleaning goes on")
    assert "cleaning goes on" in send(window)
    shown(window, LIVE, "cleaning goes on")
    shown(room, LIVE, "cleaning goes on")

    window.goto(f"/records/{number}")
    form(window, "End")
    touches(window, "ends now")
    fill(window, reason="another firm does it")
    assert "ended" in send(window)
    shown(window, LIVE, "another firm does it")
    [(left,)] = site.records(
        "SELECT count(*) FROM holds WHERE room = 'lib' AND kind = 'maintenance' AND ended_ms IS NULL"
    )
    assert left == 1, "the copy is still on"
    for what in ("end_once", "copy", "end"):
        assert site.audited(what)[0][::3] == ("eve", "done"), what
    _, out, _ = site.caretaker("holds")
    assert "cleaning goes on" in out and "cleaning of the racks" not in out


def test_a_silence_covers_what_is_open_and_is_ended(site: Site, open_window: OpenWindow) -> None:
    window = at(site, open_window, "/rooms/ash/lib")
    form(window, "Report")
    touches(window, "An incident of priority 1 is opened at Library.")
    fill(window, text="the printer of the library jams")
    said = send(window)
    shown(window, LIVE, "the printer of the library jams")
    form(window, "Silence")
    touches(window, f"Open now and silenced: {said.partition(':')[0]}.")
    fill(window, reason="a new one comes")
    assert "nobody is told of ash/lib" in send(window)
    shown(window, LIVE, "a new one comes")
    window.goto("/records?kind=silence")
    form(window, "End")
    touches(window, "What is still open there is told.")
    fill(window, reason="it came")
    send(window)
    shown(window, LIVE, "No record fits this filter")
    assert site.audited("silence")[0] == ("eve", "desk", "ash/lib", "done")
    assert site.audited("end")[0][::3] == ("eve", "done")


def test_two_incidents_become_one_that_waits_goes_on_and_is_fixed(site: Site, open_window: OpenWindow) -> None:
    """Its clocks stand still while it waits; `caretaker incident` says the same as the page all the way."""
    window = at(site, open_window, "/rooms/ash/ict1")
    numbers = []
    for text in ("the projector is dark", "the lamp of the projector is red"):
        form(window, "Report")
        fill(window, text=text)
        numbers.append(send(window).partition(":")[0].removeprefix("INC-"))
        shown(window, LIVE, text)
    kept, other = numbers
    looking = at(site, open_window, f"/incidents/{kept}", "vic")

    def told(*texts: str, number: str = kept) -> None:
        """The command line says each of these."""
        _, out, _ = site.caretaker("incident", number)
        for text in texts:
            assert text in out, out

    window.goto(f"/incidents/{other}")
    form(window, "Assign")
    touches(window, "everybody sees who works on it; its clocks run on")
    fill(window, to="field team")
    assert f"INC-{other} assigned to field team" in send(window)
    shown(window, "main .lead", "field team has it")
    form(window, "Note")
    fill(window, text="the caretaker has seen it")
    send(window)
    shown(window, LIVE, "the caretaker has seen it")
    form(window, "Merge")
    touches(window, "Into is missing")
    fill(window, into=kept)
    touches(window, "it goes on as part of the other incident")
    fill(window, reason="the same lamp")
    assert f"INC-{other} merged into INC-{kept}" in send(window)
    shown(window, LIVE, f"It was merged into INC-{kept}")
    shown(window, LIVE, "No clock runs here any more")
    shown(looking, LIVE, f"INC-{other} goes on here: the lamp of the projector is red (the same lamp)")
    told("assigned to field team", "the caretaker has seen it", f"into INC-{kept}", number=other)
    told(f"INC-{other} goes on here")

    window.goto(f"/incidents/{kept}")
    form(window, "Pause")
    touches(window, "its clocks stand still until it waits no longer")
    assert window.page.get_by_label("What it waits for").count()
    fill(window, reason="the school lets us in on Monday")
    send(window)
    shown(looking, "main .clock-line", "waiting for the customer")
    shown(looking, LIVE, "the school lets us in on Monday")
    stands = looking.text("main .clock-line >> nth=1")
    told("waiting for the customer", "the school lets us in on Monday")
    window.goto("/incidents")
    shown(window, "main li.incident", "clock paused")
    window.goto(f"/incidents/{kept}")
    form(window, "Go on")
    touches(window, "its clocks go on")
    fill(window, reason="we have the key")
    send(window)
    shown(looking, "main .clock-line", "due ")
    assert stands.startswith("Fix waiting for the customer, ")
    form(window, "Fixed")
    touches(window, "what is still seen a quarter of an hour later is opened again")
    assert window.page.get_by_label("What was done").count()
    fill(window, reason="a new lamp")
    assert f"INC-{kept} fixed: a new lamp" in send(window)
    shown(looking, "main .lead", "fixed")
    shown(looking, "main .clock-line", "fixed after under 1 min of 4 h")
    told("fixed by eve", "fixed: a new lamp", "waits no longer: we have the key")
    for what in ("assign", "note", "merge", "pause", "unpause", "fix"):
        assert site.audited(what)[0][::3] == ("eve", "done"), what


def test_a_link_on_the_wall_is_taken_back(site: Site, open_window: OpenWindow) -> None:
    """Whoever follows it then keeps nothing on, and is told whom to ask."""
    window = at(site, open_window, "/rooms/ash/ict1/stay", "meg")
    form(window, "Make a link")
    touches(window, "It can only keep machines on, and can be taken back.")
    fill(window, reason="for the wall")
    send(window)
    shown(window, "main code", "/stay/")
    link = window.text("main code").removeprefix(site.base)
    phone = open_window(site.base, size=PHONE)
    phone.goto(link)
    form(window, "Take the link back")
    touches(window, "stops working for good")
    fill(window, reason="it was photographed")
    send(window)
    shown(window, LIVE, "This room has no link yet")
    phone.refused(404)
    phone.page.get_by_role("button", name="Keep it on").click()
    shown(phone, "body", "This link does not work")
    assert site.records("SELECT count(*) FROM holds WHERE asked_key IS NOT NULL") == [(0,)]
    for what in ("stay_link", "revoke_stay_link"):
        assert site.audited(what)[0] == ("meg", "desk", "ash/ict1", "done")
