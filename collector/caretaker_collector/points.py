"""From messages to points for the store: pure, so a journal that is read again gives the same points."""

from collections.abc import Iterable, Iterator

from caretaker_contract.messages import Message, Numbered, Outcome, Report
from caretaker_contract.metrics import FieldValue, Point, point_time_ns
from caretaker_contract.topics import Address
from caretaker_rules.model import Estate, Transition
from caretaker_rules.presence import WRONG_CLOCK_MS, transition_of
from caretaker_rules.shown import shown_as

UNREGISTERED = "unregistered"
"""Room and class of a device that is in no asset register: bounded, and easy to look for."""


_HOUR_MS = 3_600_000


def clock_error_ms(skew_ms: int) -> int:
    """What to add to the times of a device whose clock is wrong by hours or years; 0 for one that is right enough.

    Whole hours, so that two copies of a message, which took a little more or less time, fall on the same moment.
    """
    return 0 if abs(skew_ms) < WRONG_CLOCK_MS else round(skew_ms / _HOUR_MS) * _HOUR_MS


def true_at_ms(message: Numbered, received_ms: int) -> int:
    """When a message was made, by the device's clock, put right by whole hours when that clock is plainly wrong."""
    return max(0, message.at_ms + clock_error_ms(received_ms - message.sent_ms))


def tags(estate: Estate, address: Address) -> tuple[str, str, str, str]:
    """School, room, class and device, as the asset register says."""
    device = estate.devices.get(address)
    if device is None:
        return address.school, UNREGISTERED, UNREGISTERED, address.device
    return address.school, device.room, device.device_class, address.device


CHANGE = ("from_state", "to_state", "cause", "planned")
"""What every `transition` point has."""
READING = ("state", "epoch", "boot", "seq", "in_use_s", "idle_s", "asleep_s")
"""What every `device` point has that a reading is made of."""


def whole(points: Iterable[Point], *names: str) -> Iterator[Point]:
    """Those that have all these fields.

    InfluxDB may show a point half while it takes it in. Its day is marked when it is written, so whoever reads a day
    comes again.
    """
    needed = set(names)
    return (point for point in points if needed <= point.fields.keys())


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
        time_ns = point_time_ns(true_at_ms(message, received_ms), message.boot, message.seq)
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
        ("disk_ratio", gauges.disk_ratio),
        ("cpu_ratio", gauges.cpu_ratio),
        ("memory_ratio", gauges.memory_ratio),
        ("watts", gauges.watts),
        ("uptime_s", gauges.uptime_s),
    )
    fields |= {name: value for name, value in optional if value is not None}
    time_ns = point_time_ns(true_at_ms(report, received_ms), report.boot, report.seq)
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
        "shown": shown_as(change.to_state, change.cause, change.from_state).value,
    }
