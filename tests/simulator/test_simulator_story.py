"""Placed faults happen when and where they were placed, and the truth lists them with whom they hit."""

from collections import Counter
from collections.abc import Callable

from caretaker_contract.messages import PowerState, PresenceNote, PresenceWord, Report, decode
from caretaker_contract.topics import Address, parse
from caretaker_rules.model import Estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.story import Fault, FaultKind
from caretaker_simulator.troubles import NO_TROUBLES, Troubles

Moment = Callable[[str], int]
MINUTE = 60_000


def told(fleet: Fleet, start_ms: int, end_ms: int) -> list[tuple[int, Address, object]]:
    said = []
    for at_ms, topic, payload in fleet.play(start_ms, end_ms):
        address, kind = parse(topic)
        said.append((at_ms, address, decode(kind, payload)))
    return said


def fault(at: Moment, kind: FaultKind, where: str, begin: str, end: str) -> Fault:
    day = "2026-10-06"
    return Fault(kind=kind, school="oak", where=where, from_ms=at(f"{day} {begin}"), until_ms=at(f"{day} {end}"))


def silent(said: list[tuple[int, Address, object]], from_ms: int, until_ms: int) -> set[str]:
    """Devices whose will was spoken in this time."""
    return {
        address.device
        for at_ms, address, message in said
        if isinstance(message, PresenceNote) and message.presence is PresenceWord.LOST and from_ms <= at_ms < until_ms
    }


def test_a_dead_switch_silences_what_is_behind_it_and_nobody_else_and_the_machines_run_on(
    oak: Estate, at: Moment
) -> None:
    dead = fault(at, FaultKind.SWITCH, "ict-switch", "10:40", "10:58")
    fleet = Fleet(oak, troubles=NO_TROUBLES, faults=[dead])
    start, end = at("2026-10-06 10:00"), at("2026-10-06 11:30")
    said = told(fleet, start, end)
    lost = silent(said, start, end)
    assert lost
    assert lost <= {device.name for device in oak.devices.values() if device.behind == "ict-switch"}
    late = [
        message
        for at_ms, address, message in said
        if isinstance(message, Report) and address.device in lost and dead.from_ms < message.at_ms < dead.until_ms
    ]
    assert late, "what they counted meanwhile is told afterwards"
    assert all(report.sent_ms >= dead.until_ms for report in late)
    [listed] = fleet.faults(start, end)
    assert listed.placed
    assert len(listed.hits) == 16


def test_a_server_that_stands_still_takes_its_thin_clients_with_it(oak: Estate, at: Moment) -> None:
    dead = fault(at, FaultKind.SERVER, "servers-02", "10:40", "11:10")
    fleet = Fleet(oak, troubles=NO_TROUBLES, faults=[dead])
    start, end = at("2026-10-06 10:00"), at("2026-10-06 11:30")
    lost = silent(told(fleet, start, end), start, end)
    assert "servers-02" in lost
    assert len(lost) > 1
    assert all(name == "servers-02" or oak.devices[Address("oak", name)].behind == "servers-02" for name in lost)
    truth = fleet.devices[Address("oak", "servers-02")].truth
    assert truth.state_at(at("2026-10-06 11:00")) is PowerState.OFF
    assert truth.state_at(at("2026-10-06 11:20")) in (PowerState.IDLE, PowerState.IN_USE)


def test_a_room_without_power_is_off_and_a_school_without_its_line_is_silent(oak: Estate, at: Moment) -> None:
    power = fault(at, FaultKind.POWER, "class1", "10:40", "10:50")
    line = fault(at, FaultKind.LINE, "", "11:00", "11:10")
    fleet = Fleet(oak, troubles=NO_TROUBLES, faults=[power, line])
    start, end = at("2026-10-06 10:00"), at("2026-10-06 11:30")
    said = told(fleet, start, end)
    assert {name[:6] for name in silent(said, power.from_ms, line.from_ms)} <= {"class1"}
    on = {
        address.device
        for address, device in fleet.devices.items()
        if device.truth.state_at(line.from_ms) in (PowerState.IN_USE, PowerState.IDLE)
    }
    assert silent(said, line.from_ms, end) == on


def test_a_machine_crashes_again_and_again_and_comes_back(oak: Estate, at: Moment) -> None:
    bad = fault(at, FaultKind.CRASHES, "ict-03", "10:00", "13:00")
    fleet = Fleet(oak, troubles=NO_TROUBLES, faults=[bad])
    start, end = at("2026-10-06 09:30"), at("2026-10-06 13:30")
    said = told(fleet, start, end)
    boots = {report.boot for _, address, report in said if address.device == "ict-03" and isinstance(report, Report)}
    assert len(boots) >= 4


def test_a_disk_fills_up_before_it_counts_as_full_and_is_cleaned(oak: Estate, at: Moment) -> None:
    full = fault(at, FaultKind.DISK, "servers-01", "10:00", "12:00")
    fleet = Fleet(oak, troubles=NO_TROUBLES, faults=[full])
    start, end = at("2026-10-05 09:30"), at("2026-10-06 13:30")
    ratios = [
        (at_ms, report.gauges.disk_ratio or 0)
        for at_ms, address, report in told(fleet, start, end)
        if address.device == "servers-01" and isinstance(report, Report) and report.gauges.disk_ratio is not None
    ]
    before = [ratio for at_ms, ratio in ratios if at_ms < full.from_ms]
    assert before == sorted(before)
    assert before[0] < before[-1] <= 0.97
    assert {ratio for at_ms, ratio in ratios if full.from_ms <= at_ms < full.until_ms} == {0.97}
    assert all(ratio < 0.75 for at_ms, ratio in ratios if at_ms > full.until_ms)


def test_a_machine_that_does_not_hear_packets_is_not_woken_by_them(oak: Estate, at: Moment) -> None:
    start = at("2026-10-06 05:00")
    fleet = Fleet(oak, troubles=NO_TROUBLES, faults=[fault(at, FaultKind.NO_WAKE, "ict", "00:00", "23:00")])
    list(fleet.play(start, start + MINUTE))
    off = [device for device in fleet.devices.values() if device.truth.state is PowerState.OFF]
    for device in off:
        device.packet(start + MINUTE)
    soon = {
        (device.life.seat.device.room == "ict", device.life.machine.starting_ms < start + 60 * MINUTE) for device in off
    }
    assert soon == {(True, False), (False, True)}, "those of the room stay off, the others start"


def test_drawn_faults_stand_in_the_truth_and_silence_whom_they_name(oak: Estate, at: Moment) -> None:
    often = Troubles(0.2, 0.5, 0.9, 0.5, 0, 0, 0, 0)
    fleet = Fleet(oak, troubles=often, seed=3)
    start, end = at("2026-10-05 00:00"), at("2026-10-10 00:00")
    said = told(fleet, start, end)
    found = fleet.faults(start, end)
    assert {fault.kind for fault in found} == {FaultKind.POWER, FaultKind.LINE, FaultKind.SWITCH, FaultKind.CRASHES}
    assert not any(fault.placed for fault in found)
    spans = [(each.from_ms, each.until_ms, set(each.hits)) for each in found]
    unexplained = Counter(
        address.device
        for at_ms, address, message in said
        if isinstance(message, PresenceNote)
        and message.presence is PresenceWord.LOST
        and not any(begin <= at_ms - 30_000 <= end and address.device in hits for begin, end, hits in spans)
    )
    assert not unexplained, "every will has its fault"
    kinds = fleet.truth(end)["faults"]
    assert isinstance(kinds, list)
    assert len(kinds) == len(found)


def test_the_same_machines_say_the_same_whether_or_not_others_have_faults(oak: Estate, at: Moment) -> None:
    start, end = at("2026-10-06 08:00"), at("2026-10-06 12:00")
    placed = fault(at, FaultKind.SWITCH, "ict-switch", "10:40", "10:58")

    def of_class1(faults: list[Fault]) -> list[tuple[int, str, bytes]]:
        fleet = Fleet(oak, troubles=NO_TROUBLES, faults=faults)
        return [each for each in fleet.play(start, end) if "/class1-" in each[1]]

    assert of_class1([]) == of_class1([placed])
