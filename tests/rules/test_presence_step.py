"""Power state from reports, goodbyes, wills and silence."""

import pytest

from caretaker_contract.messages import (
    Cause,
    Hello,
    Outcome,
    PowerState,
    PresenceNote,
    PresenceWord,
    Step,
    Verb,
)
from caretaker_rules.model import Presence, Transition
from caretaker_rules.presence import PresenceSettings, step, transition_of
from rules_world import EPOCH, report

SETTINGS = PresenceSettings()
T = 1_790_000_000_000
IN_USE, IDLE, ASLEEP, OFF = PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF
LOST, UNKNOWN = PowerState.LOST, PowerState.UNKNOWN


def note(word, link=1, *, boot=5, at_ms=T, cause=Cause.UNKNOWN, epoch=EPOCH):
    return PresenceNote(presence=PresenceWord(word), cause=cause, epoch=epoch, boot=boot, link=link, at_ms=at_ms)


def told(*events, start=None):
    """Feed (seconds after T, event) pairs; events are None for a tick. Returns the presence and all changes."""
    presence, changes = start or Presence(), []
    for at_s, event in events:
        presence, more = step(presence, event, T + round(at_s * 1000), SETTINGS)
        changes += more
    return presence, changes


def on(at_s=0, seq=1, state=IDLE, was=IN_USE, **more):
    return report(seq, state, was, at_ms=T + round(at_s * 1000), **more)


def beat(at_s, seq, state=IDLE, **more):
    return report(seq, state, at_ms=T + round(at_s * 1000), **more)


def test_report_tells_its_own_change():
    """A change of state is complete in one report; a heartbeat tells of none."""
    assert transition_of(on(cause=Cause.NO_INPUT)) == Transition(T, IN_USE, IDLE, Cause.NO_INPUT, False)
    assert transition_of(beat(0, 2)) is None


@pytest.mark.parametrize(
    ("cause", "planned"),
    [("rule", True), ("user", True), ("maintenance", True), ("restart", True), ("unknown", False)],
)
def test_off_with_a_recorded_cause_is_planned(cause, planned):
    """Off is planned when it is on record who wanted it."""
    presence, changes = told((0, on(state=OFF, was=IDLE, cause=Cause(cause))))
    assert (presence.state, presence.planned, changes[0].planned) == (OFF, planned, planned)


def test_in_use_is_never_planned():
    """A machine that is on is not planned-off, whatever the cause says."""
    presence, _ = told((0, on(state=IN_USE, was=OFF, cause=Cause.USER)))
    assert not presence.planned


def test_heartbeats_do_not_move_the_beginning_of_a_state():
    """`since` is when the state began, also after many heartbeats."""
    presence, changes = told((0, on()), (300, beat(300, 2)), (600, beat(600, 3)))
    assert (presence.since_ms, presence.seq, presence.heard_ms, len(changes)) == (T, 3, T + 600_000, 1)


def test_older_message_never_changes_the_state():
    """A report that comes late is a sign of life and a fact of the past, no more."""
    presence, changes = told((0, on()), (60, on(60, 3, IN_USE, IDLE)), (70, beat(30, 2)))
    assert (presence.state, presence.seq, presence.heard_ms) == (IN_USE, 3, T + 70_000)
    assert len(changes) == 2


def test_earlier_boot_is_older_whatever_the_clock_says():
    """Order is by number: a report of an earlier boot with a later clock changes nothing."""
    presence, _ = told((0, beat(0, 1, IN_USE, boot=6)), (1, on(9999, 80, OFF, IDLE, boot=5)))
    assert (presence.state, presence.boot) == (IN_USE, 6)


def test_late_change_mends_the_beginning():
    """When the report of a change comes after the heartbeat that follows it, the state began when it says."""
    presence, _ = told((0, on(0, 1, IN_USE, IDLE)), (300, beat(300, 3, IDLE)))
    assert (presence.state, presence.since_ms, presence.cause) == (IDLE, T + 300_000, Cause.UNKNOWN)
    presence, changes = told((310, on(100, 2, IDLE, IN_USE, cause=Cause.NO_INPUT)), start=presence)
    assert (presence.state, presence.since_ms, presence.cause) == (IDLE, T + 100_000, Cause.NO_INPUT)
    assert changes == [Transition(T + 100_000, IN_USE, IDLE, Cause.NO_INPUT, False)]


def test_gap_does_not_invent_a_beginning():
    """When a change is missing, the state is proved from the newest report on only."""
    presence, _ = told((0, on(0, 1, IN_USE, IDLE)), (300, beat(300, 3, IDLE)), (600, beat(600, 4, IDLE)))
    assert presence.since_ms == T + 600_000


def test_will_starts_the_grace_and_then_lost():
    """A will is not lost yet; after the grace it is, since the moment of the will."""
    presence, changes = told((0, note("online")), (1, on(1)), (100, note("lost")), (129, None))
    assert (presence.state, presence.lost_ms) == (IDLE, T + 100_000)
    presence, changes = told((130, None), start=presence)
    assert (presence.state, presence.since_ms) == (LOST, T + 100_000)
    assert changes == [Transition(T + 100_000, IDLE, LOST, Cause.UNKNOWN, False)]


@pytest.mark.parametrize(
    "life",
    [
        note("online", link=2, at_ms=T + 110_000),
        beat(110, 2),
        Outcome(
            epoch=EPOCH, boot=5, seq=2, prev=9, at_ms=T, sent_ms=T, command="0" * 32, verb=Verb.WARN, step=Step.DONE
        ),
    ],
    ids=["new link", "report", "outcome"],
)
def test_sign_of_life_cancels_the_grace(life):
    """A short reconnect raises nothing."""
    presence, changes = told((0, note("online")), (1, on(1)), (100, note("lost")), (110, life), (140, None))
    assert (presence.state, presence.lost_ms, len(changes)) == (IDLE, 0, 1)


def test_hello_is_no_sign_of_life():
    """A hello is retained and may be days old: it tells the heartbeat, and cancels nothing."""
    hello = Hello(device_class="desktop", room="ict1", epoch=EPOCH, boot=5, seq=1, heartbeat_s=60, at_ms=T)
    presence, _ = told((0, note("online")), (1, on(1)), (100, note("lost")), (110, hello), (130, None))
    assert (presence.state, presence.heartbeat_s, presence.heard_ms) == (LOST, 60, T + 1000)


@pytest.mark.parametrize("stale", [note("lost", link=1), note("lost", link=9, boot=4)], ids=["link", "boot"])
def test_will_of_an_older_link_or_boot_is_ignored(stale):
    """The broker may send an old will long after the machine came back."""
    presence, _ = told((0, note("online", link=2)), (1, on(1)), (5, stale), (60, None))
    assert (presence.state, presence.lost_ms) == (IDLE, 0)


def test_will_of_an_older_epoch_is_ignored():
    """The will of an agent that was reinstalled says nothing about the new one."""
    presence, _ = told((0, on()), (5, note("lost", link=99, boot=99, epoch="0badf00d")), (60, None))
    assert presence.state is IDLE


@pytest.mark.parametrize("first", ["leaving", "lost"])
def test_goodbye_counts_more_than_the_will_of_its_link(first):
    """A machine that said goodbye is off and planned, whichever of goodbye and will comes first."""
    goodbye, will = note("leaving", cause=Cause.USER, at_ms=T + 50_000), note("lost")
    pair = (goodbye, will) if first == "leaving" else (will, goodbye)
    presence, changes = told((0, note("online")), (1, on(1)), (50, pair[0]), (51, pair[1]), (120, None))
    assert (presence.state, presence.planned, presence.cause) == (OFF, True, Cause.USER)
    assert presence.since_ms == T + 50_000
    assert changes[-1] == Transition(T + 50_000, IDLE, OFF, Cause.USER, True)


def test_goodbye_keeps_asleep_asleep():
    """The report said asleep; the goodbye does not make it off."""
    sleep = on(49, 2, ASLEEP, IDLE, cause=Cause.RULE)
    presence, changes = told((0, on()), (49, sleep), (50, note("leaving", cause=Cause.RULE, at_ms=T + 49_000)))
    assert (presence.state, presence.planned, len(changes)) == (ASLEEP, True, 2)


def test_will_after_a_report_of_off_raises_nothing():
    """Off by report and then the link breaks: as it should be."""
    presence, _ = told(
        (0, note("online")), (1, on(1)), (9, on(9, 2, OFF, IDLE, cause=Cause.USER)), (12, note("lost")), (99, None)
    )
    assert (presence.state, presence.planned) == (OFF, True)


def test_report_from_before_the_goodbye_does_not_wake_it():
    """A report that was overtaken by the goodbye leaves the machine off."""
    goodbye = note("leaving", cause=Cause.USER, at_ms=T + 50_000)
    presence, _ = told((0, note("online")), (1, on(1)), (50, goodbye), (51, on(40, 2, IN_USE, IDLE)))
    assert (presence.state, presence.seq, presence.cause) == (OFF, 2, Cause.USER)
    presence, _ = told((52, on(50, 3, OFF, IN_USE, cause=Cause.USER)), start=presence)
    assert (presence.state, presence.since_ms) == (OFF, T + 50_000)


def test_late_goodbye_does_not_switch_off_what_reported_since():
    """A machine that slept, woke and reported is on, although the goodbye before its sleep comes only now."""
    presence, changes = told((0, on()), (90, on(90, 3, IN_USE, ASLEEP)), (91, note("leaving", at_ms=T + 50_000)))
    assert (presence.state, presence.left_ms) == (IN_USE, 0)
    assert len(changes) == 2


def test_back_after_goodbye():
    """The next boot's report ends planned-off."""
    presence, changes = told(
        (0, on()),
        (50, note("leaving", cause=Cause.RULE, at_ms=T + 50_000)),
        (900, on(900, 1, IN_USE, OFF, boot=6, cause=Cause.BOOT)),
    )
    assert (presence.state, presence.left_ms) == (IN_USE, 0)
    assert changes[-1] == Transition(T + 900_000, OFF, IN_USE, Cause.BOOT, False)


def test_stopped_agent_is_blind_not_off():
    """The agent goes and the machine stays on: unknown, and silence does not make it lost."""
    presence, changes = told((0, on()), (50, note("leaving", cause=Cause.AGENT_STOP)), (9000, None))
    assert (presence.state, presence.planned) == (UNKNOWN, False)
    assert changes[-1] == Transition(T + 50_000, IDLE, UNKNOWN, Cause.AGENT_STOP, False)
    presence, changes = told((9500, beat(9500, 2, IDLE, cause=Cause.AGENT_START)), start=presence)
    assert [(change.from_state, change.to_state) for change in changes] == [(UNKNOWN, IDLE)]


def test_missing_heartbeats_make_it_lost():
    """On and silent for more than two and a half heartbeats: lost since the first one that did not come."""
    presence, changes = told((0, on()), (750, None))
    assert presence.state is IDLE
    presence, changes = told((750.001, None), start=presence)
    assert (presence.state, presence.since_ms, len(changes)) == (LOST, T + 300_000, 1)


@pytest.mark.parametrize("state", [OFF, ASLEEP])
def test_silence_of_a_machine_that_is_away_is_no_news(state):
    """Off and asleep machines send no heartbeats."""
    presence, _ = told((0, on(state=state, was=IDLE, cause=Cause.USER)), (99_999, None))
    assert presence.state is state


def test_silence_while_the_collector_was_away_proves_nothing():
    """Heartbeats are missed only while the collector itself was connected, and a grace runs only then."""
    presence, _ = told((0, on()))
    for now_s, state in ((5000, IDLE), (5200, IDLE), (5651, LOST)):
        after, _ = step(presence, None, T + now_s * 1000, SETTINGS, seen_since_ms=T + 4_900_000)
        assert after.state is state
    presence, _ = told((0, note("lost")), start=presence)
    after, _ = step(presence, None, T + 60_000, SETTINGS, seen_since_ms=T + 40_000)
    assert after.state is IDLE


def test_lost_machine_that_reports_was_never_off():
    """Back in the same boot: from lost straight to what it says."""
    presence, changes = told((0, on()), (800, None), (900, beat(900, 4, IN_USE)))
    assert presence.state is IN_USE
    assert [(change.from_state, change.to_state) for change in changes[1:]] == [(IDLE, LOST), (LOST, IN_USE)]


def test_lost_machine_with_a_new_link_is_what_it_last_said():
    """Same boot, new link: on as before. Another boot: on, and nobody knows how."""
    lost, _ = told((0, note("online")), (1, on(1)), (100, note("lost")), (130, None))
    same, changes = told((200, note("online", link=2, at_ms=T + 199_000)), start=lost)
    assert (same.state, same.since_ms, same.link_ms) == (IDLE, T + 1000, T + 200_000)
    assert [(change.from_state, change.to_state) for change in changes] == [(LOST, IDLE)]
    other, _ = told((200, note("online", link=1, boot=6)), start=lost)
    assert other.state is UNKNOWN


def test_lost_is_said_once():
    """A repeated will of a lost machine raises nothing new."""
    lost, _ = told((0, note("online")), (1, on(1)), (100, note("lost")), (130, None))
    again, changes = told((140, note("lost")), (200, None), start=lost)
    assert (again.state, changes) == (LOST, [])


def test_retained_will_of_a_machine_never_heard_makes_it_lost():
    """A collector that starts anew believes the retained will after the grace."""
    presence, changes = told((0, note("lost")), (30, None))
    assert presence.state is LOST
    assert [(change.from_state, change.to_state) for change in changes] == [(UNKNOWN, LOST)]


def test_retained_goodbye_of_a_machine_never_heard_is_planned_off():
    """A collector that starts anew knows from the retained goodbye that the machine is off on purpose."""
    presence, _ = told((0, note("leaving", cause=Cause.RULE, at_ms=T - 5000)), (99, None))
    assert (presence.state, presence.planned, presence.since_ms) == (OFF, True, T - 5000)


def test_first_report_of_a_machine_is_no_change():
    """Nothing was known, so nothing changed."""
    _, changes = told((0, beat(0, 7)))
    assert changes == []


def test_new_epoch_replaces_the_old_one():
    """The agent was reinstalled: its numbers begin again, and late reports of the old one do not win."""
    presence, _ = told(
        (0, on(0, 70, IDLE, IN_USE, boot=50)),
        (100, on(100, 1, IN_USE, OFF, boot=1, epoch="00000001")),
        (110, on(50, 71, OFF, IDLE, boot=50, cause=Cause.USER)),
    )
    assert (presence.epoch, presence.state, presence.seq) == ("00000001", IN_USE, 1)


def test_clock_once_set_years_ahead_does_not_shut_out_a_new_epoch():
    """A time beyond the collector's own is not believed when epochs are compared."""
    years = 10 * 365 * 86_400
    presence, _ = told((0, on(years, 70, boot=50)), (100, beat(100, 1, IN_USE, boot=1, epoch="00000001")))
    assert (presence.epoch, presence.state) == ("00000001", IN_USE)


def test_outcome_does_not_overtake_a_report():
    """An outcome is numbered with the reports, but a report before it may still be under way."""
    outcome = Outcome(
        epoch=EPOCH, boot=5, seq=3, prev=9, at_ms=T, sent_ms=T, command="0" * 32, verb=Verb.WARN, step=Step.VETOED
    )
    presence, _ = told((0, on()), (10, outcome), (11, on(9, 2, IN_USE, IDLE)))
    assert (presence.state, presence.seq, presence.heard_ms) == (IN_USE, 2, T + 11_000)


def test_will_of_an_older_boot_is_ignored_when_no_link_is_known():
    """A machine known by its reports alone: the will of the boot before says nothing about this one."""
    presence, _ = told((0, beat(0, 1, boot=6)), (5, note("lost", link=3, boot=5)), (60, None))
    assert (presence.state, presence.lost_ms) == (IDLE, 0)


def test_will_after_a_stopped_agent_is_not_lost():
    """The agent said that it goes and the machine stays: its link breaking is no news."""
    goodbye = note("leaving", cause=Cause.AGENT_STOP, at_ms=T + 50_000)
    presence, _ = told((0, note("online")), (1, on(1)), (50, goodbye), (51, note("lost")), (99, None))
    assert presence.state is UNKNOWN


def test_repeated_online_of_a_broken_link_is_no_sign_of_life():
    """A link that broke does not come back; only a newer one cancels the grace."""
    presence, _ = told((0, note("online")), (1, on(1)), (100, note("lost")), (110, note("online")), (130, None))
    assert presence.state is LOST


def test_report_of_asleep_that_comes_after_the_goodbye_counts():
    """The goodbye does not say whether the machine sleeps or is off; its report does."""
    goodbye = note("leaving", cause=Cause.RULE, at_ms=T + 50_000)
    sleep = on(50, 2, ASLEEP, IDLE, cause=Cause.RULE)
    presence, _ = told((0, note("online")), (1, on(1)), (50, goodbye), (51, sleep))
    assert (presence.state, presence.planned) == (ASLEEP, True)


def test_outcome_of_another_epoch_is_no_sign_of_life():
    """An answer that an agent gave before it was reinstalled says nothing about today's."""
    old = Outcome(
        epoch="0badf00d", boot=9, seq=9, prev=9, at_ms=T, sent_ms=T, command="0" * 32, verb=Verb.WARN, step=Step.DONE
    )
    presence, _ = told((0, note("online")), (1, on(1)), (100, note("lost")), (110, old), (130, None))
    assert (presence.state, presence.heard_ms) == (LOST, T + 1000)
