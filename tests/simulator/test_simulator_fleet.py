"""What a fleet says keeps the contract and agrees with the truth."""

import hashlib
from collections import defaultdict
from collections.abc import Callable

import pytest

from caretaker_contract.messages import (
    Cause,
    Hello,
    Message,
    Outcome,
    PowerState,
    PresenceNote,
    PresenceWord,
    Report,
    decode,
)
from caretaker_contract.topics import Address, Kind, parse
from caretaker_rules.model import Estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.troubles import NO_TROUBLES, Troubles

Moment = Callable[[str], int]
DAY = 86_400_000
ROUGH = Troubles(
    crash_per_day=0.5,
    power_cut_per_day=0.5,
    line_cut_per_day=0.7,
    switch_dead_per_day=0.5,
    wifi_gap_per_day=1.0,
    wrong_clocks=0.2,
    stepped_clocks=0.2,
    dead_batteries=0.2,
)
SPOKEN = {PowerState.IN_USE: "in_use_s", PowerState.IDLE: "idle_s", PowerState.ASLEEP: "asleep_s"}


def played(fleet: Fleet, start_ms: int, end_ms: int) -> list[tuple[int, Address, Message]]:
    """Decoded; ContractError when anything is against the contract."""
    messages = []
    for at_ms, topic, payload in fleet.play(start_ms, end_ms):
        address, kind = parse(topic)
        messages.append((at_ms, address, decode(kind, payload)))
    return messages


def digest(estate: Estate, seed: int, start_ms: int) -> str:
    whole = hashlib.sha256()
    for at_ms, topic, payload in Fleet(estate, seed=seed).play(start_ms, start_ms + DAY):
        whole.update(b"%d %b %b" % (at_ms, topic.encode(), payload))
    return whole.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(oak: Estate, at: Moment) -> None:
    start = at("2026-10-06 00:00")
    assert digest(oak, 1, start) == digest(oak, 1, start)
    assert digest(oak, 1, start) != digest(oak, 2, start)


def test_playing_in_pieces_gives_the_same_messages_as_at_once(oak: Estate, at: Moment) -> None:
    start = at("2026-10-06 07:00")
    whole = list(Fleet(oak).play(start, start + DAY // 4))
    fleet = Fleet(oak)
    pieces = [*fleet.play(start, start + DAY // 9), *fleet.play(start + DAY // 9, start + DAY // 4)]
    assert pieces == whole


@pytest.mark.parametrize("troubles", [NO_TROUBLES, ROUGH], ids=["calm", "rough"])
def test_every_message_decodes_and_numbers_of_each_boot_are_whole(oak: Estate, at: Moment, troubles: Troubles) -> None:
    start = at("2026-10-05 00:00")
    fleet = Fleet(oak, troubles=troubles)
    seen: dict[tuple[Address, int], list[int]] = defaultdict(list)
    prev: dict[tuple[Address, int], int] = {}
    for _, address, message in played(fleet, start, start + 5 * DAY):
        if isinstance(message, Report | Outcome):
            seen[address, message.boot].append(message.seq)
            prev[address, message.boot] = message.prev
    unsent = {address: device for address, device in fleet.devices.items() if device.unsent}
    for (address, boot), numbers in seen.items():
        assert numbers == list(range(1, len(numbers) + 1)), (address, boot)
        assert prev[address, boot] == (len(seen[address, boot - 1]) if boot > 1 else 0)
        if address not in unsent:
            assert len(numbers) == fleet.devices[address].truth.last_seq[boot - 1]
    assert (
        sum(len(numbers) for numbers in seen.values()) + sum(len(device.unsent) for device in unsent.values())
        == fleet.published
    )


def test_meters_agree_with_the_truth_at_every_report_to_a_second(oak: Estate, at: Moment) -> None:
    """Without crashes the only difference is that a reading is rounded down to whole seconds."""
    start = at("2026-10-05 00:00")
    fleet = Fleet(oak, troubles=NO_TROUBLES)
    last: dict[Address, tuple[int, Report]] = {}
    for at_ms, address, message in played(fleet, start, start + 5 * DAY):
        if isinstance(message, Report):
            last[address] = (at_ms, message)
    assert len(last) == 50
    for address, (at_ms, report) in last.items():
        truth = fleet.devices[address].truth.totals_ms(start, at_ms)
        assert sum(truth.values()) == at_ms - start
        for state, name in SPOKEN.items():
            assert getattr(report.meters, name) == truth[state] // 1000, (address, state)


def test_meters_lag_behind_the_truth_by_at_most_a_heartbeat_for_each_crash(oak: Estate, at: Moment) -> None:
    start = at("2026-10-05 00:00")
    end = start + 5 * DAY
    fleet = Fleet(oak, troubles=Troubles(0.5, 0.2, 0, 0, 0, 0, 0, 0))
    crashes: dict[Address, int] = defaultdict(int)
    last: dict[Address, tuple[int, Report]] = {}
    for at_ms, address, message in played(fleet, start, end):
        if isinstance(message, Report):
            last[address] = (at_ms, message)
        crashes[address] += isinstance(message, PresenceNote) and message.presence is PresenceWord.LOST
    assert sum(crashes.values()) > 50
    for address, (at_ms, report) in last.items():
        truth = fleet.devices[address].truth.totals_ms(start, at_ms)
        for state, name in SPOKEN.items():
            behind = truth[state] / 1000 - getattr(report.meters, name)
            # a sleeping machine reports nothing, so a power cut costs its meter the whole sleep
            if state is not PowerState.ASLEEP:
                assert 0 <= behind <= 1 + 300 * crashes[address], (address, state)


def test_a_report_tells_its_transition_and_the_chain_of_states_has_no_break(oak: Estate, at: Moment) -> None:
    start = at("2026-10-05 00:00")
    state: dict[Address, PowerState] = {}
    for _, address, message in played(Fleet(oak, troubles=NO_TROUBLES), start, start + 3 * DAY):
        if isinstance(message, Report):
            if address in state:
                assert message.was is state[address]
            assert (message.was is message.state) == (message.cause in (Cause.HEARTBEAT, Cause.AGENT_START))
            state[address] = message.state


def test_a_machine_that_is_on_reports_at_least_every_heartbeat(oak: Estate, at: Moment) -> None:
    start = at("2026-10-06 07:00")
    heard: dict[Address, int] = {}
    for at_ms, address, message in played(Fleet(oak, troubles=NO_TROUBLES, heartbeat_s=120), start, start + DAY // 3):
        if isinstance(message, Report):
            if message.was in (PowerState.IN_USE, PowerState.IDLE) and address in heard:
                assert at_ms - heard[address] <= 120_000
            heard[address] = at_ms


def test_a_goodbye_ends_with_leaving_and_a_crash_with_lost_30_seconds_later(oak: Estate, at: Moment) -> None:
    start = at("2026-10-05 00:00")
    fleet = Fleet(oak, troubles=Troubles(1.0, 0, 0, 0, 0, 0, 0, 0))
    leaving = 0
    lost: list[tuple[int, Address, PresenceNote]] = []
    previous: dict[Address, Message] = {}
    for at_ms, address, message in played(fleet, start, start + 3 * DAY):
        if isinstance(message, PresenceNote) and message.presence is PresenceWord.LEAVING:
            before = previous[address]
            assert isinstance(before, Report)
            assert before.state in (PowerState.OFF, PowerState.ASLEEP)
            assert before.cause is message.cause is Cause.USER
            leaving += 1
        elif isinstance(message, PresenceNote) and message.presence is PresenceWord.LOST:
            lost.append((at_ms, address, message))
        previous[address] = message
    assert leaving > 50
    assert len(lost) > 20
    for at_ms, address, note in lost:
        truth = fleet.devices[address].truth
        assert truth.state_at(at_ms - 30_001) in (PowerState.IN_USE, PowerState.IDLE)
        assert truth.state_at(at_ms - 30_000) is PowerState.OFF
        assert note.at_ms < at_ms - 30_000


def test_what_was_said_during_a_network_cut_comes_after_it_in_order_with_the_time_of_sending(
    oak: Estate, at: Moment
) -> None:
    start = at("2026-10-05 00:00")
    late: dict[Address, list[tuple[int, int]]] = defaultdict(list)
    lost = links = 0
    for at_ms, address, message in played(
        Fleet(oak, troubles=Troubles(0, 0, 1.0, 0, 0, 0, 0, 0)), start, start + 5 * DAY
    ):
        if isinstance(message, Report):
            assert message.sent_ms == at_ms
            if message.at_ms < at_ms:
                late[address].append((message.boot, message.seq))
        elif isinstance(message, PresenceNote):
            lost += message.presence is PresenceWord.LOST
            links += message.link > 1
    assert sum(len(numbers) for numbers in late.values()) > 100
    assert all(numbers == sorted(numbers) for numbers in late.values())
    assert lost > 20
    assert links > 20


def test_wrong_clocks_show_in_the_times_but_never_in_the_meters(oak: Estate, at: Moment) -> None:
    start = at("2026-10-05 00:00")
    clocks = Troubles(0, 0, 0, 0, 0, 0.3, 0.3, 0.3)
    skews: set[int] = set()
    last: dict[Address, tuple[int, Report]] = {}
    fleet = Fleet(oak, troubles=clocks)
    for at_ms, address, message in played(fleet, start, start + 4 * DAY):
        if isinstance(message, Report):
            skews.add(round((at_ms - message.sent_ms) / 60_000))
            last[address] = (at_ms, message)
    assert {0, -60} <= skews
    assert max(skews) > 17 * 365 * 1440  # a dead battery
    for address, (at_ms, report) in last.items():
        assert report.meters.idle_s == fleet.devices[address].truth.totals_ms(start, at_ms)[PowerState.IDLE] // 1000


def test_a_fleet_that_begins_tells_of_every_machine_also_of_those_that_are_off(oak: Estate, at: Moment) -> None:
    fleet = Fleet(oak, troubles=NO_TROUBLES)
    first = fleet.begin(at("2026-10-06 16:20"))
    kinds: dict[str, set[Kind]] = defaultdict(set)
    states: dict[str, PowerState] = {}
    for sent in first:
        address, kind = parse(sent.topic)
        message = decode(kind, sent.payload)
        kinds[str(address)].add(kind)
        assert sent.retain == isinstance(message, Hello | PresenceNote)
        if isinstance(message, Report):
            states[str(address)] = message.state
    assert len(kinds) == 50
    assert all(each == {Kind.HELLO, Kind.PRESENCE, Kind.REPORT} for each in kinds.values())
    assert states == {str(address): device.truth.state for address, device in fleet.devices.items()}
    assert set(states.values()) >= {PowerState.OFF, PowerState.IN_USE, PowerState.IDLE}
