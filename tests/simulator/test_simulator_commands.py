"""Simulated devices obey real signed commands as a real agent would, and the truth judges what came of it."""

from collections.abc import Callable

import pytest

from caretaker_agent.obey import View
from caretaker_contract import signing
from caretaker_contract.messages import (
    Cause,
    Message,
    Outcome,
    OutcomeReason,
    PowerState,
    PresenceNote,
    PresenceWord,
    Range,
    Report,
    Step,
    Verb,
    decode,
)
from caretaker_contract.topics import Address, parse
from caretaker_rules.model import Estate
from caretaker_simulator.device import SimulatedDevice
from caretaker_simulator.estate import demo_estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.sent import Sent
from caretaker_simulator.troubles import NO_TROUBLES, Troubles

Moment = Callable[[str], int]
Order = Callable[..., bytes]
Trained = Callable[..., Fleet]
MINUTE = 60_000


def read(sent: list[Sent], address: Address | None = None) -> list[Message]:
    found = []
    for each in sent:
        who, kind = parse(each.topic)
        if address is None or who == address:
            found.append(decode(kind, each.payload))
    return found


def steps(sent: list[Sent], address: Address | None = None) -> list[tuple[Step, OutcomeReason]]:
    return [(each.step, each.reason) for each in read(sent, address) if isinstance(each, Outcome)]


def some(fleet: Fleet, now_ms: int, state: PowerState, *, present: bool, idle_min: float = 0) -> Address:
    """A machine (no server) in `state` with or without somebody in front of it."""
    for address, device in fleet.devices.items():
        machine = device.life.machine
        if (
            machine.state is state
            and machine.present is present
            and machine.idle_ms(now_ms) >= idle_min * MINUTE
            and not device.life.seat.always_on
        ):
            return address
    raise AssertionError("no such machine: choose another time or seed")


def test_an_idle_machine_warns_counts_down_says_done_goes_off_by_rule_and_is_back_next_day(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, now = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 17:00")
    fleet.begin(now)
    target = some(fleet, now, PowerState.IDLE, present=False, idle_min=30)
    first = fleet.command(target, order(str(target), Verb.SHUT_DOWN, now, idle_at_least_s=1800), now)
    assert steps(first, target) == [(Step.RECEIVED, OutcomeReason.NONE), (Step.WARNED, OutcomeReason.NONE)]
    assert steps(fleet.advance(now + 119_000), target) == []
    last = [each for each in read(fleet.advance(now + 121_000), target) if not isinstance(each, PresenceNote)]
    done, goodbye = last
    assert isinstance(done, Outcome)
    assert (done.step, done.reason) == (Step.DONE, OutcomeReason.NONE)
    assert isinstance(goodbye, Report)
    assert (goodbye.state, goodbye.was, goodbye.cause) == (PowerState.OFF, PowerState.IDLE, Cause.RULE)
    truth = fleet.devices[target].truth
    assert (truth.state, truth.unsafe, dict(truth.switched_off)) == (PowerState.OFF, 0, {"shut_down": 1})
    fleet.advance(at("2026-10-09 12:00"))
    assert truth.boots >= 1


def test_somebody_who_sits_there_reading_presses_a_key_and_vetoes(at: Moment, trained: Trained, order: Order) -> None:
    fleet, now = trained(demo_estate(), troubles=NO_TROUBLES), at("2026-10-06 16:50")
    fleet.begin(now)
    target = some(fleet, now, PowerState.IDLE, present=True, idle_min=6)
    fleet.command(target, order(str(target), Verb.SHUT_DOWN, now, idle_at_least_s=300), now)
    said = fleet.advance(now + 3 * MINUTE)
    assert steps(said, target) == [(Step.VETOED, OutcomeReason.USER_INPUT)]
    truth = fleet.devices[target].truth
    assert (truth.state, truth.unsafe) == (PowerState.IN_USE, 0)


def test_a_machine_in_use_refuses(oak: Estate, at: Moment, trained: Trained, order: Order) -> None:
    fleet, now = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 09:30")
    fleet.begin(now)
    target = some(fleet, now, PowerState.IN_USE, present=True)
    said = fleet.command(target, order(str(target), Verb.SHUT_DOWN, now, warn_s=0), now)
    assert steps(said, target) == [(Step.REFUSED, OutcomeReason.IN_USE)]
    assert fleet.devices[target].truth.state is PowerState.IN_USE


def test_a_command_with_a_forged_signature_changes_nothing(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, twin, now = trained(oak), trained(oak), at("2026-10-06 17:00")
    fleet.begin(now)
    twin.begin(now)
    for number, address in enumerate(fleet.devices):
        text = order(str(address), Verb.SHUT_DOWN, now, warn_s=0)
        forged = text.replace(b'"signature":"', b'"signature":"AA')
        stranger = order(str(address), Verb.SHUT_DOWN, now, warn_s=0, by=signing.new_key())
        fleet.command(address, (forged, stranger, b"\xff not even JSON")[number % 3], now)
    end = now + 600 * MINUTE
    fleet.advance(end)
    twin.advance(end)
    assert fleet.summary()["switched_off_by_command"] == 0
    for address, device in fleet.devices.items():
        assert device.truth.intervals(end) == twin.devices[address].truth.intervals(end)


def test_a_device_without_its_obedience_is_caught_by_the_truth(
    at: Moment, trained: Trained, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard of `unsafe`: agents that believe every machine idle for hours switch off people at work."""
    fleet, now = trained(demo_estate(), troubles=NO_TROUBLES), at("2026-10-06 09:30")
    fleet.begin(now)
    on = {address: device.life.machine for address, device in fleet.devices.items() if device.life.machine.on}
    used = [address for address, machine in on.items() if machine.in_use(now)]
    unused = [address for address in on if address not in used]
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedDevice, "_view", lambda self, at_ms: View(7200.0))
        for address in used + unused:
            fleet.command(address, order(str(address), Verb.SHUT_DOWN, now, warn_s=0), now)
    assert len(used) > 50
    assert len(unused) > 5
    assert fleet.unsafe == len(used)
    assert fleet.summary()["switched_off_by_command"] == len(used) + len(unused)


def test_a_command_to_a_machine_that_is_off_or_cut_off_is_not_heard(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, now = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 17:00")
    fleet.begin(now)
    target = some(fleet, now, PowerState.OFF, present=False)
    assert fleet.command(target, order(str(target), Verb.SHUT_DOWN, now), now) == []
    assert fleet.devices[target].ignored_commands == 1


def test_sleep_and_restart_do_as_they_say(oak: Estate, at: Moment, trained: Trained, order: Order) -> None:
    fleet, now = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 18:00")
    fleet.begin(now)
    target = some(fleet, now, PowerState.IDLE, present=False, idle_min=30)
    said = fleet.command(target, order(str(target), Verb.RESTART, now, warn_s=0), now)
    goodbye = [each for each in read(said, target) if isinstance(each, Report)][-1]
    assert (goodbye.state, goodbye.cause) == (PowerState.OFF, Cause.RESTART)
    back = [each for each in read(fleet.advance(now + MINUTE), target) if isinstance(each, Report)][-1]
    assert (back.boot, back.cause, back.prev) == (goodbye.boot + 1, Cause.BOOT, goodbye.seq)
    later = now + 60 * MINUTE
    fleet.advance(later)
    said = fleet.command(target, order(str(target), Verb.SLEEP, later, warn_s=0), later)
    assert [each.presence for each in read(said, target) if isinstance(each, PresenceNote)][-1:] == [
        PresenceWord.LEAVING
    ]
    assert fleet.devices[target].truth.state is PowerState.ASLEEP


def test_a_replay_brings_exactly_the_numbers_asked_for_stamped_anew(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, start = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 00:00")
    now = start + 600 * MINUTE
    heard: dict[tuple[Address, int, int], Message] = {}
    for sent in [*fleet.begin(start), *fleet.advance(now)]:
        for message in read([sent]):
            if isinstance(message, Report | Outcome):
                heard[parse(sent.topic)[0], message.boot, message.seq] = message
    for address, device in list(fleet.devices.items()):
        if not device.link or device.boot < 2:
            continue
        epoch, first_boot = device.truth.epoch, device.truth.last_seq[0]
        ranges = [Range(epoch, 1, 1, first_boot), Range(epoch, 2, 1, 1)]
        said = fleet.command(address, order(str(address), Verb.REPLAY, now, ranges=ranges), now)
        again = [each for each in read(said, address) if isinstance(each, Report)]
        assert [each.key for each in again] == [(1, seq) for seq in range(1, first_boot + 1)] + [(2, 1)]
        for each in again:
            before = heard[address, *each.key]
            assert isinstance(before, Report)
            assert (each.at_ms, each.meters, each.state) == (before.at_ms, before.meters, before.state)
            assert each.sent_ms == device.clock_ms(now)
        assert steps(said, address) == [(Step.DONE, OutcomeReason.NONE)]
        break
    else:
        raise AssertionError("no machine was started twice")


def test_a_replay_names_what_is_no_longer_kept_or_was_never_made(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, start = trained(oak, troubles=NO_TROUBLES, keep=10), at("2026-10-06 00:00")
    now = start + 600 * MINUTE
    fleet.begin(start)
    fleet.advance(now)
    address = Address("oak", "servers-01")
    device = fleet.devices[address]
    made, epoch = device.seq, device.truth.epoch
    ranges = [Range(epoch, 1, made - 12, made + 3), Range("0" * 8, 1, 1, 2), Range(epoch, 9, 1, 1)]
    said = read(fleet.command(address, order(str(address), Verb.REPLAY, now, ranges=ranges), now), address)
    assert [each.seq for each in said if isinstance(each, Report)] == list(range(made - 9, made + 1))
    outcome = said[-1]
    assert isinstance(outcome, Outcome)
    assert (outcome.step, outcome.reason) == (Step.FAILED, OutcomeReason.NOT_KEPT)
    assert outcome.missing == [
        Range(epoch, 1, made - 12, made - 10),
        Range(epoch, 1, made + 1, made + 3),
        *ranges[1:],
    ]


def test_at_roll_call_nobody_holds_unsent_messages_any_more(oak: Estate, at: Moment) -> None:
    rough = Troubles(0.5, 0.3, 1.0, 1.0, 1.0, 0, 0, 0)
    fleet, start = Fleet(oak, troubles=rough), at("2026-10-05 00:00")
    fleet.begin(start)
    now = next(
        moment
        for moment in range(start, start + 20 * 1440 * MINUTE, 10 * MINUTE)
        if fleet.advance(moment) is not None
        and any(device.unsent and not device.life.machine.on for device in fleet.devices.values())
    )
    fleet.roll_call(now, everybody=False)
    assert not any(device.unsent for device in fleet.devices.values())
    assert any(not device.life.machine.on for device in fleet.devices.values())
    fleet.roll_call(now, everybody=True)
    assert all(device.life.machine.on and device.link for device in fleet.devices.values())


def test_the_demos_hour_has_machines_that_go_and_people_who_say_no(at: Moment, trained: Trained, order: Order) -> None:
    """A rule like the packaged one (after 16:30, idle for half an hour), from 16:20 on, as the demo tells it."""
    start = at("2026-10-06 16:20")
    for seed in (1, 7):
        fleet = trained(demo_estate(), seed=seed)
        fleet.begin(start)
        asked: set[Address] = set()
        for now in range(start + 10 * MINUTE, start + 60 * MINUTE, MINUTE):
            for address, device in fleet.devices.items():
                machine = device.life.machine
                if address in asked or not machine.on or device.life.seat.always_on:
                    continue
                if machine.idle_ms(now) >= 30 * MINUTE:
                    asked.add(address)
                    fleet.command(address, order(str(address), Verb.SHUT_DOWN, now, idle_at_least_s=1800), now)
        fleet.advance(start + 60 * MINUTE)
        outcomes = fleet.summary()["outcomes"]
        assert isinstance(outcomes, dict)
        assert outcomes["done"] >= 20
        assert outcomes["vetoed"] >= 1
        assert fleet.unsafe == 0
