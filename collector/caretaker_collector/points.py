"""From messages to points for the store: pure, so a journal that is read again gives the same points."""

from caretaker_contract.messages import Message, Outcome, Report
from caretaker_contract.metrics import FieldValue, Point, point_time_ns
from caretaker_contract.topics import Address
from caretaker_rules.model import Estate, Transition
from caretaker_rules.presence import transition_of

UNREGISTERED = "unregistered"
"""Room and class of a device that is in no asset register: bounded, and easy to look for."""


def tags(estate: Estate, address: Address) -> tuple[str, str, str, str]:
    """School, room, class and device, as the asset register says."""
    device = estate.devices.get(address)
    if device is None:
        return address.school, UNREGISTERED, UNREGISTERED, address.device
    return address.school, device.room, device.device_class, address.device


def points_of(message: Message, address: Address, received_ms: int, estate: Estate) -> list[Point]:
    """What a message leaves in the store; nothing for hello and presence, which are not history."""
    if isinstance(message, Report):
        return _report(message, tags(estate, address), received_ms)
    if isinstance(message, Outcome):
        fields: dict[str, FieldValue] = {
            "id": message.command,
            "verb": message.verb.value,
            "step": message.step.value,
            "reason": message.reason.value,
        }
        time_ns = point_time_ns(message.at_ms, message.boot, message.seq)
        return [Point("command", time_ns, tags(estate, address), fields)]
    return []


def _report(report: Report, labels: tuple[str, str, str, str], received_ms: int) -> list[Point]:
    meters, gauges = report.meters, report.gauges
    fields: dict[str, FieldValue] = {
        "state": report.state.value,
        "epoch": report.epoch,
        "boot": report.boot,
        "seq": report.seq,
        "in_use_s": meters.in_use_s,
        "idle_s": meters.idle_s,
        "asleep_s": meters.asleep_s,
        "skew_s": (received_ms - report.sent_ms) / 1000,
    }
    optional = (
        ("energy_mwh", meters.energy_mwh),
        ("input_age_s", gauges.idle_s),
        ("session", gauges.session),
        ("cpu_ratio", gauges.cpu_ratio),
        ("memory_ratio", gauges.memory_ratio),
        ("watts", gauges.watts),
        ("uptime_s", gauges.uptime_s),
    )
    fields |= {name: value for name, value in optional if value is not None}
    time_ns = point_time_ns(report.at_ms, report.boot, report.seq)
    points = [Point("device", time_ns, labels, fields)]
    change = transition_of(report)
    if change is not None:
        points.append(Point("transition", time_ns, labels, transition_fields(change)))
    return points


def transition_fields(change: Transition) -> dict[str, FieldValue]:
    """A transition as the fields of its point."""
    return {
        "from_state": change.from_state.value,
        "to_state": change.to_state.value,
        "cause": change.cause.value,
        "planned": change.planned,
    }
