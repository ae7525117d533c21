"""The first server of each simulated school is its relay: it obeys signed wake commands as the real one does."""

from collections.abc import Callable

from caretaker_contract.messages import Hello, Outcome, OutcomeReason, PowerState, Step, Verb, decode
from caretaker_contract.signing import new_key
from caretaker_contract.topics import Address, Kind, parse
from caretaker_rules.model import Estate
from caretaker_simulator.estate import demo_estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.sent import Sent
from caretaker_simulator.troubles import NO_TROUBLES

Moment = Callable[[str], int]
Order = Callable[..., bytes]
Trained = Callable[..., Fleet]
RELAY = Address("oak", "servers-01")


def outcomes(sent: list[Sent], address: Address) -> list[tuple[Step, OutcomeReason]]:
    found = [decode(parse(each.topic)[1], each.payload) for each in sent if parse(each.topic)[0] == address]
    return [(each.step, each.reason) for each in found if isinstance(each, Outcome)]


def away(fleet: Fleet, school: str = "oak") -> list[Address]:
    """Machines of a school that are off, with a cable to hear by."""
    return [
        address
        for address, device in fleet.devices.items()
        if address.school == school and device.life.machine.state is PowerState.OFF
    ]


def test_one_server_of_each_school_says_that_it_can_wake(at: Moment, trained: Trained) -> None:
    sent = trained(demo_estate(), troubles=NO_TROUBLES).begin(at("2026-10-06 07:00"))
    hellos = [
        (parse(each.topic)[0], decode(Kind.HELLO, each.payload))
        for each in sent
        if isinstance(each, Sent) and parse(each.topic)[1] is Kind.HELLO
    ]
    able = {str(address) for address, hello in hellos if isinstance(hello, Hello) and Verb.WAKE in hello.abilities}
    assert able == {"ash/servers-01", "oak/servers-01"}


def test_a_signed_wake_starts_exactly_the_machines_of_these_addresses(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, now = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 05:00")
    fleet.begin(now)
    woken, left = away(fleet)[:3], away(fleet)[3:]
    macs = [str(oak.devices[address].mac) for address in woken] + ["02:ff:ff:ff:ff:ff"]
    sent = fleet.command(RELAY, order(str(RELAY), Verb.WAKE, now, macs=macs), now)
    assert outcomes(sent, RELAY) == [(Step.RECEIVED, OutcomeReason.NONE), (Step.DONE, OutcomeReason.NONE)]
    fleet.advance(now + 60_000)
    assert {fleet.devices[address].truth.state for address in woken} == {PowerState.IN_USE}
    assert {fleet.devices[address].truth.state for address in left} == {PowerState.OFF}


def test_a_machine_without_network_does_not_hear_its_packet(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, now = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 05:00")
    fleet.begin(now)
    target = away(fleet)[0]
    fleet.devices[target].life.machine.network_cuts = 1
    fleet.command(RELAY, order(str(RELAY), Verb.WAKE, now, macs=[str(oak.devices[target].mac)]), now)
    fleet.advance(now + 60_000)
    assert fleet.devices[target].truth.state is PowerState.OFF


def test_a_forged_wake_and_one_sent_to_another_device_start_nothing(
    oak: Estate, at: Moment, trained: Trained, order: Order
) -> None:
    fleet, now = trained(oak, troubles=NO_TROUBLES), at("2026-10-06 05:00")
    fleet.begin(now)
    target = away(fleet)[0]
    macs = [str(oak.devices[target].mac)]
    server = Address("oak", "servers-02")
    sent = fleet.command(server, order(str(server), Verb.WAKE, now, macs=macs), now)
    assert outcomes(sent, server) == [(Step.REFUSED, OutcomeReason.UNABLE)]
    sent = fleet.command(RELAY, order(str(RELAY), Verb.WAKE, now, macs=macs, by=new_key()), now)
    assert outcomes(sent, RELAY) == [(Step.REFUSED, OutcomeReason.UNKNOWN_KEY)]
    fleet.advance(now + 60_000)
    assert fleet.devices[target].truth.state is PowerState.OFF
