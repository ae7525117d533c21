"""The agent at a real mosquitto: what it says, what it obeys, and that nothing is lost on the way."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from caretaker_agent.probe import Event
from caretaker_contract.messages import Cause, OutcomeReason, PowerState, PresenceWord, Range, Step, Verb
from caretaker_contract.topics import Kind

pytestmark = pytest.mark.slow
Wait = Callable[..., Any]


def contiguous(numbers: list[tuple[int, int]]) -> bool:
    """Whether each boot's numbers begin at 1, in order, without gap or repeat."""
    boots = sorted({boot for boot, _ in numbers})
    expected = [(boot, seq) for boot in boots for seq in range(1, sum(b == boot for b, _ in numbers) + 1)]
    return numbers == expected


def test_a_connection_begins_with_hello_and_presence_and_the_report_follows(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    kinds = [kind for kind, _, _ in world.ear.heard]
    assert kinds == [Kind.HELLO, Kind.PRESENCE, Kind.REPORT]
    (hello,), (note,), (report,) = (world.ear.all(kind) for kind in (Kind.HELLO, Kind.PRESENCE, Kind.REPORT))
    assert (hello.room, hello.mac, hello.boot, hello.seq) == ("ict1", "02:00:00:00:00:01", 1, 1)
    assert (note.presence, note.link) == (PresenceWord.ONLINE, 1)
    assert (report.state, report.was, report.cause) == (PowerState.IDLE, PowerState.IDLE, Cause.AGENT_START)
    assert report.gauges.idle_s == 1000


def test_hello_and_presence_are_retained_for_whoever_comes_later(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    world.ear.close()
    world.listen()
    wait(lambda: len(world.ear.heard) == 2)
    time.sleep(0.2)
    assert [(kind, retained) for kind, _, retained in world.ear.heard] == [(Kind.HELLO, True), (Kind.PRESENCE, True)]


def test_every_change_of_state_is_a_report_of_its_own(world: Any, wait: Wait) -> None:
    world.start(speed=20)
    wait(lambda: len(world.ear.reports) == 1)
    world.machine.input_age_s = 2
    wait(lambda: len(world.ear.reports) == 2)
    world.machine.input_age_s = 400
    wait(lambda: len(world.ear.reports) == 3)
    assert [(r.was, r.state, r.cause) for r in world.ear.reports[1:]] == [
        (PowerState.IDLE, PowerState.IN_USE, Cause.INPUT),
        (PowerState.IN_USE, PowerState.IDLE, Cause.NO_INPUT),
    ]
    assert contiguous(world.ear.numbers)


def test_the_heart_beats_while_nothing_changes(world: Any, wait: Wait) -> None:
    world.options |= {"heartbeat_s": 1}
    world.start()
    wait(lambda: len(world.ear.reports) >= 4)
    assert {report.cause for report in world.ear.reports[1:]} == {Cause.HEARTBEAT}
    gaps_ms = [b.at_ms - a.at_ms for a, b in zip(world.ear.reports, world.ear.reports[1:], strict=False)]
    assert all(900 <= gap <= 1600 for gap in gaps_ms), gaps_ms


def test_stopping_the_agent_says_leaving_and_not_off(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    world.stop()
    wait(lambda: len(world.ear.all(Kind.PRESENCE)) == 2)
    last = world.ear.all(Kind.PRESENCE)[-1]
    assert (last.presence, last.cause) == (PresenceWord.LEAVING, Cause.AGENT_STOP)
    time.sleep(0.3)
    assert [report.state for report in world.ear.reports] == [PowerState.IDLE]
    world.start()
    wait(lambda: len(world.ear.reports) == 2)
    again = world.ear.reports[-1]
    assert (again.was, again.state, again.cause) == (PowerState.IDLE, PowerState.IDLE, Cause.AGENT_START)
    assert world.ear.all(Kind.PRESENCE)[-1].link == 2


def test_a_machine_that_its_user_shuts_down_says_off_and_after_the_boot_where_it_was(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    world.machine.queue.append(Event.SHUTTING_DOWN)
    wait(lambda: len(world.ear.all(Kind.PRESENCE)) == 2)
    off = world.ear.reports[-1]
    assert (off.was, off.state, off.cause) == (PowerState.IDLE, PowerState.OFF, Cause.USER)
    note = world.ear.all(Kind.PRESENCE)[-1]
    assert (note.presence, note.cause) == (PresenceWord.LEAVING, Cause.USER)
    wait(lambda: not world.machine.held)  # the system may go on
    world.stop()
    world.machine.boot, world.machine.awake_plus_s, world.machine.input_age_s = "boot-2", 30.0, 5
    world.machine.start_s = time.monotonic()
    world.start()
    wait(lambda: len(world.ear.reports) == 3)
    back = world.ear.reports[-1]
    assert (back.was, back.state, back.cause) == (PowerState.OFF, PowerState.IN_USE, Cause.BOOT)
    assert (back.boot, back.seq, back.prev) == (2, 1, 2)
    assert back.meters.in_use_s - off.meters.in_use_s in (30, 31), "the time since the machine was started counts"


def test_a_power_cut_is_seen_after_the_boot_and_leaves_no_gap_in_the_numbers(world: Any, wait: Wait) -> None:
    world.options |= {"heartbeat_s": 1}
    world.start()
    wait(lambda: len(world.ear.reports) >= 3)
    world.stop()  # without any goodbye of the machine: the next boot is another one
    last = world.ear.reports[-1]
    world.machine.boot, world.machine.start_s = "boot-2", time.monotonic()
    world.start()
    wait(lambda: world.ear.reports[-1].boot == 2)
    first = next(report for report in world.ear.reports if report.boot == 2)
    assert (first.was, first.cause, first.seq, first.prev) == (PowerState.OFF, Cause.BOOT, 1, last.seq)


def test_sleep_is_said_before_and_waking_after(world: Any, wait: Wait) -> None:
    world.start(speed=20)
    wait(lambda: world.ear.reports)
    world.machine.queue.append(Event.SLEEPING)
    wait(lambda: len(world.ear.all(Kind.PRESENCE)) == 2)
    world.machine.asleep_s += 3600
    world.machine.queue.append(Event.BACK)
    wait(lambda: len(world.ear.reports) >= 3)
    asleep, back = world.ear.reports[1:3]
    assert (asleep.was, asleep.state, asleep.cause) == (PowerState.IDLE, PowerState.ASLEEP, Cause.USER)
    assert (back.was, back.state, back.cause) == (PowerState.ASLEEP, PowerState.IDLE, Cause.RESUME)
    assert back.meters.asleep_s == 3600
    wait(lambda: len(world.ear.all(Kind.PRESENCE)) == 3)
    assert world.ear.all(Kind.PRESENCE)[-1].presence is PresenceWord.ONLINE
    assert contiguous(world.ear.numbers)


def test_a_sleep_that_nobody_announced_is_seen_on_the_clocks(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    world.machine.asleep_s += 500
    wait(lambda: len(world.ear.reports) == 2)
    back = world.ear.reports[-1]
    assert (back.was, back.state, back.cause, back.meters.asleep_s) == (
        PowerState.ASLEEP,
        PowerState.IDLE,
        Cause.RESUME,
        500,
    )


def test_nothing_is_lost_while_the_broker_is_away(own_world: Any, own_broker: Any, wait: Wait) -> None:
    own_world.options |= {"heartbeat_s": 1}
    own_world.start(speed=10)
    wait(lambda: len(own_world.ear.reports) >= 3)
    own_broker.kill()
    time.sleep(3)
    own_broker.start()
    wait(lambda: len(own_world.ear.reports) >= 40)
    own_world.stop()
    seen = sorted(set(own_world.ear.numbers))
    assert seen == [(1, seq) for seq in range(1, len(seen) + 1)]
    delayed = [report for report in own_world.ear.reports if report.sent_ms - report.at_ms > 5000]
    assert delayed, "what was kept tells when it was made and when it was sent"


def test_what_a_dying_broker_never_acknowledged_is_sent_again(own_world: Any, own_broker: Any, wait: Wait) -> None:
    own_world.options |= {"heartbeat_s": 1}
    own_world.start(speed=10)
    wait(lambda: len(own_world.ear.reports) >= 3)
    time.sleep(1.5)  # the broker saves the ear's subscription
    os.kill(own_broker.child.pid, signal.SIGSTOP)  # it takes bytes and answers none
    time.sleep(1)
    own_world.agent._link._wait_s = 5.0  # it comes back after the ear, so nothing but the lost line makes it repeat
    own_broker.kill()
    own_broker.start()
    wait(lambda: len(own_world.ear.reports) >= 60)
    own_world.stop()
    seen = sorted(set(own_world.ear.numbers))
    assert seen == [(1, seq) for seq in range(1, len(seen) + 1)]


def test_reports_of_a_machine_without_a_broker_arrive_when_there_is_one(
    own_world: Any, own_broker: Any, wait: Wait
) -> None:
    own_broker.stop()
    own_world.options |= {"heartbeat_s": 1}
    own_world.start(speed=20)
    time.sleep(2)
    own_world.stop()
    own_broker.start()
    own_world.start(speed=20)
    wait(lambda: len(own_world.ear.reports) >= 30)
    own_world.stop()
    seen = sorted(set(own_world.ear.numbers))
    assert seen == [(1, seq) for seq in range(1, len(seen) + 1)]


def test_a_shutdown_is_received_warned_about_and_done_as_a_dry_run(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    number = world.send(world.command(cause=Cause.RULE))
    wait(lambda: len(world.ear.steps(number)) == 3)
    assert world.ear.steps(number) == ["received", "warned", "done/dry_run"]
    received, _, done = world.ear.outcomes
    assert 1900 <= done.at_ms - received.at_ms <= 4500, "the countdown takes its time"
    assert world.machine.acts == []
    assert "will shut down in 2 seconds" in world.machine.warnings[0]
    assert contiguous(world.ear.numbers)


def test_with_permission_the_machine_is_switched_and_says_that_a_rule_did_it(world: Any, wait: Wait) -> None:
    world.options |= {"allow_power_off": True}
    world.start()
    wait(lambda: world.ear.reports)
    number = world.send(world.command(warn_s=0))
    wait(lambda: len(world.ear.steps(number)) == 2)
    assert world.ear.steps(number) == ["received", "done"]
    assert world.machine.acts == [Verb.SHUT_DOWN]
    world.machine.stopping = True
    world.stop()
    wait(lambda: world.ear.reports[-1].state is PowerState.OFF)
    assert world.ear.reports[-1].cause is Cause.RULE
    wait(lambda: world.ear.all(Kind.PRESENCE)[-1].cause is Cause.RULE)


def test_an_engineers_order_is_maintenance_in_the_goodbye(world: Any, wait: Wait) -> None:
    world.options |= {"allow_power_off": True}
    world.start()
    wait(lambda: world.ear.reports)
    world.send(world.command(Verb.SLEEP, warn_s=0, cause=Cause.MAINTENANCE))
    wait(lambda: world.machine.acts == [Verb.SLEEP])
    world.machine.queue.append(Event.SLEEPING)
    wait(lambda: world.ear.reports[-1].state is PowerState.ASLEEP)
    assert world.ear.reports[-1].cause is Cause.MAINTENANCE


def test_a_machine_that_refuses_to_switch_is_a_failure(world: Any, wait: Wait) -> None:
    world.options |= {"allow_power_off": True}
    world.machine.obeys = False
    world.start()
    wait(lambda: world.ear.reports)
    number = world.send(world.command(Verb.RESTART, warn_s=0))
    wait(lambda: len(world.ear.steps(number)) == 2)
    assert world.ear.steps(number) == ["received", "failed/error"]


def test_any_input_during_the_countdown_vetoes(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    number = world.send(world.command(warn_s=30))
    wait(lambda: world.ear.steps(number) == ["received", "warned"])
    world.machine.input_age_s = 0.5
    wait(lambda: len(world.ear.steps(number)) == 3)
    assert world.ear.steps(number)[-1] == "vetoed/user_input"
    assert world.machine.unwarned == 1
    wait(lambda: world.ear.reports[-1].state is PowerState.IN_USE)


def test_a_cancel_stops_the_countdown(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    number = world.send(world.command(warn_s=30))
    wait(lambda: world.ear.steps(number) == ["received", "warned"])
    cancel = world.send(world.command(Verb.CANCEL, target=number))
    wait(lambda: world.ear.steps(cancel) == ["done"])
    assert world.ear.steps(number)[-1] == "vetoed/cancelled"


def test_forged_expired_repeated_and_strange_commands_are_refused(world: Any, wait: Wait) -> None:
    from caretaker_contract import signing

    world.start()
    wait(lambda: world.ear.reports)
    now_ms = int(time.time() * 1000)
    stranger = world.command()
    world.ear.publish(world.address, signing.sign(stranger, signing.new_key()))
    expired = world.send(world.command(issued_ms=now_ms - 60_000, expires_ms=now_ms - 1000))
    elsewhere = world.send(world.command(device="elsewhere/pc-1"))
    used = world.command(Verb.WARN)
    for _ in range(2):
        world.send(used)
    world.ear.publish(world.address, b"\xff\x00 not a command")
    wait(lambda: len(world.ear.outcomes) == 5)
    assert world.ear.steps(stranger.id) == ["refused/unknown_key"]
    assert world.ear.steps(expired) == ["refused/expired"]
    assert world.ear.steps(elsewhere) == ["refused/wrong_target"]
    assert world.ear.steps(used.id) == ["done", "refused/repeated"]
    assert contiguous(world.ear.numbers)


def test_a_command_used_before_a_restart_is_refused_after_it(world: Any, wait: Wait) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    command = world.command(warn_s=0)
    world.send(command)
    wait(lambda: world.ear.steps(command.id) == ["received", "done/dry_run"])
    world.stop()
    world.start()
    wait(lambda: len(world.ear.reports) == 2)
    world.send(command)
    wait(lambda: len(world.ear.steps(command.id)) == 3)
    assert world.ear.steps(command.id)[-1] == "refused/repeated"


def test_a_command_that_cannot_be_remembered_is_not_obeyed(world: Any, wait: Wait) -> None:
    world.options |= {"allow_power_off": True}
    world.start()
    wait(lambda: world.ear.reports)
    (world.folder / "state/memory.new").mkdir()  # now the disk refuses
    command = world.command(warn_s=0)
    world.send(command)
    time.sleep(1)
    assert world.machine.acts == []
    (world.folder / "state/memory.new").rmdir()
    later = world.send(world.command(warn_s=0))
    wait(lambda: world.ear.steps(later) == ["received", "done"])


def test_a_replay_sends_the_asked_numbers_again_and_names_the_missing_ones(world: Any, wait: Wait) -> None:
    world.options |= {"heartbeat_s": 1}
    world.start(speed=20)
    wait(lambda: len(world.ear.reports) >= 12)
    epoch = world.ear.reports[0].epoch
    before = len(world.ear.reports)
    number = world.send(world.command(Verb.REPLAY, ranges=[Range(epoch, 1, 3, 6)]))
    wait(lambda: world.ear.steps(number) == ["done"])
    wait(lambda: world.ear.numbers.count((1, 6)) == 2)
    again = [report for report in world.ear.reports[before:] if report.seq <= 6]
    assert [report.seq for report in again] == [3, 4, 5, 6]
    first = {report.seq: report for report in world.ear.reports[:before]}
    for report in again:
        assert report.at_ms == first[report.seq].at_ms
        assert report.sent_ms > first[report.seq].sent_ms
    number = world.send(world.command(Verb.REPLAY, ranges=[Range("00000000", 9, 1, 3)]))
    wait(lambda: world.ear.steps(number) == ["failed/not_kept"])
    said = next(outcome for outcome in world.ear.outcomes if outcome.command == number)
    assert (said.step, said.reason, said.missing) == (
        Step.FAILED,
        OutcomeReason.NOT_KEPT,
        [Range("00000000", 9, 1, 3)],
    )


def test_a_backlog_longer_than_the_window_arrives_whole_and_in_order(world: Any, wait: Wait) -> None:
    from caretaker_agent.account import Account
    from caretaker_agent.obey import Say

    account = Account(world.settings(), "boot-1", world.machine.look(True))
    for _ in range(600):
        account.outcome(Say("0" * 32, Verb.WARN, Step.DONE), 1)
    account.save()
    account.outbox.close()
    world.start()
    wait(lambda: len(world.ear.numbers) == 601)
    assert contiguous(world.ear.numbers)
