"""The one table of what is stored: measurement, name, type, unit, meaning. Stores, docs and boards are made from it."""

from dataclasses import dataclass
from typing import Literal

FieldType = Literal["int", "float", "bool", "str"]
FieldValue = int | float | bool | str
TAGS = ("school", "room", "class", "device")
"""The tags of every measurement: bounded by the asset register, so the number of series is too."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One field of one measurement."""

    measurement: str
    name: str
    type: FieldType
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Point:
    """One row for a store. `time_ns` is UTC nanoseconds; time and tags make it unique, so a rewrite changes nothing."""

    measurement: str
    time_ns: int
    tags: tuple[str, str, str, str]  # in the order of TAGS
    fields: dict[str, FieldValue]


def point_time_ns(at_ms: int, boot: int, seq: int) -> int:
    """A time for a numbered message that is its own even when two of a device fall on one millisecond.

    The sub-millisecond part is made from the number, so a repeat lands on the same row (accuracy stays 1 ms).
    """
    return at_ms * 1_000_000 + (boot % 100) * 10_000 + seq % 10_000


def _rows(measurement: str, *rows: tuple[str, FieldType, str, str]) -> tuple[Metric, ...]:
    return tuple(Metric(measurement, *row) for row in rows)


METRICS: tuple[Metric, ...] = (
    *_rows(
        "device",  # one point for every report
        ("state", "str", "word", "in_use, idle, asleep or off, as the device says"),
        ("epoch", "str", "word", "8 hex digits, drawn when the agent was installed"),
        ("boot", "int", "count", "boots within the epoch"),
        ("seq", "int", "count", "number of the report within its boot"),
        ("in_use_s", "int", "s", "meter: seconds in use"),
        ("idle_s", "int", "s", "meter: seconds on and idle"),
        ("asleep_s", "int", "s", "meter: seconds asleep"),
        ("energy_mwh", "int", "mWh", "meter: energy, where a sensor measures it"),
        ("input_age_s", "int", "s", "since the last input of anybody at the machine"),
        ("session", "bool", "yes/no", "whether anybody is signed in (never who)"),
        ("disk_ratio", "float", "ratio", "share of its fullest local disk in use, 0-1"),
        ("cpu_ratio", "float", "ratio", "share of processor time in use since the last report, 0-1"),
        ("memory_ratio", "float", "ratio", "share of memory in use, 0-1"),
        ("watts", "float", "W", "power, measured where a sensor gives it"),
        ("uptime_s", "int", "s", "since the machine started"),
        ("skew_s", "float", "s", "collector's clock minus the device's; beyond 120 s its data count as doubtful"),
    ),
    *_rows(
        "transition",  # every change of power state
        ("from_state", "str", "word", "power state before"),
        ("to_state", "str", "word", "power state after"),
        ("cause", "str", "word", "why, as the device or the collector says"),
        ("planned", "bool", "yes/no", "off or asleep with a recorded cause"),
    ),
    *_rows(
        "device_day",  # a device and day (time: local midnight); rewritten when a late report comes
        ("in_use_s", "int", "s", "seconds in use"),
        ("idle_s", "int", "s", "seconds on and idle"),
        ("asleep_s", "int", "s", "seconds asleep"),
        ("off_s", "int", "s", "seconds off: wall time minus the meters"),
        ("blind_s", "int", "s", "seconds for which no reading exists on one side"),
        ("boots", "int", "count", "times it was started"),
        ("energy_wh", "float", "Wh", "energy used, by the watts of its class in each state; blind time left out"),
        ("owed_s", "int", "s", "seconds in the school's hours of service"),
        ("maintained_s", "int", "s", "of these: maintenance recorded before it began"),
        ("available_s", "int", "s", "of these: on, or planned-off and not past the moment at which it was needed"),
        ("down_s", "int", "s", "of these: lost, off without a recorded cause, or not back when needed"),
        ("unseen_s", "int", "s", "of these: Caretaker could not see; the four add up to owed_s"),
        ("lesson_s", "int", "s", "seconds owed within lessons and bookings of its room, without maintenance"),
        ("lesson_available_s", "int", "s", "of these: available"),
        ("lesson_down_s", "int", "s", "of these: down"),
        ("lesson_unseen_s", "int", "s", "of these: unseen"),
        ("faults", "int", "count", "outages that began on this day within owed time"),
    ),
    *_rows(
        "room_ready",  # a room at the start of each of its lessons (class: room, device: all)
        ("ready", "int", "count", "machines of the room that were on, by their own reports"),
        ("total", "int", "count", "machines of the room, without always-on classes and relays"),
    ),
    *_rows(
        "incident",  # every change of an incident, as it was then (what it is about as tags; "all" where it is more)
        ("number", "int", "count", "as people call it: INC-12"),
        ("kind", "str", "word", "lost, link_down, room_not_ready and so on"),
        ("action", "str", "word", "what changed: opened, grown, priority, acknowledged, fixed and so on"),
        ("status", "str", "word", "open, acknowledged, paused, fixed or merged"),
        ("priority", "int", "count", "by the service level's matrix; 1 comes first; none without a level"),
        ("hits", "int", "count", "devices hit at that moment"),
        ("since_ms", "int", "ms", "UTC; when the fault began"),
        ("opened_ms", "int", "ms", "UTC; when the incident was opened"),
        ("acknowledged_ms", "int", "ms", "UTC; 0: not yet"),
        ("fixed_ms", "int", "ms", "UTC; when it was over; 0: not yet"),
        ("reopened", "int", "count", "times that it came back"),
    ),
    *_rows(
        "command",  # every step of a command
        ("id", "str", "word", "the command's id, as in the ledger"),
        ("verb", "str", "word", "shut_down, sleep, restart, wake, warn, cancel or replay"),
        ("step", "str", "word", "received, warned, vetoed, done, failed or refused"),
        ("reason", "str", "word", "why it ended so"),
    ),
)

MEASUREMENTS: dict[str, tuple[Metric, ...]] = {}
for _metric in METRICS:
    MEASUREMENTS[_metric.measurement] = (*MEASUREMENTS.get(_metric.measurement, ()), _metric)
