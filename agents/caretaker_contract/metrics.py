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


_DAY: tuple[tuple[str, FieldType, str, str], ...] = (
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
)

_SUMMED: tuple[tuple[str, FieldType, str, str], ...] = (
    ("devices", "int", "count", "device_day points behind the sums"),
    ("lessons", "int", "count", "lessons and bookings whose beginning Caretaker saw"),
    ("ready", "int", "count", "machines that were on as these began, summed over them"),
    ("total", "int", "count", "machines that they needed, summed over them"),
)


def _used(measurement: str) -> tuple[Metric, ...]:
    return _rows(
        measurement,
        ("device_days", "int", "count", "device_day points behind what was used"),
        ("blind_h", "float", "h", "machine-hours that nobody saw; in no figure"),
        ("used_kwh", "float", "kWh", "energy used, the sum of device_day"),
        ("used_pence", "float", "p", "its cost by the tariff of each day; none: no tariff is valid on some day"),
        ("used_kg", "float", "kg", "its carbon, CO2e by the factor of each day; none: no factor is valid on some day"),
    )


_AVOIDED = {
    "rule": "avoided by rules that switched off",
    "user": "avoided by users who switch off more than in the baseline",
    "both": "avoided by rules and users together",
}
_UNITS = {
    "kwh": ("kWh", "energy"),
    "pence": ("p", "its cost by the tariff of each day"),
    "kg": ("kg", "its carbon, CO2e by the factor of each day"),
}
_RANGE = {"": "likely", "_low": "low end of the range", "_high": "high end of the range"}


def _savings(measurement: str, kinds: tuple[str, ...]) -> tuple[Metric, ...]:
    """What was avoided: rule_kwh, rule_kwh_low and so on. None of them is there until a baseline is known."""
    rows: list[tuple[str, FieldType, str, str]] = []
    for kind in kinds:
        rows.append((f"{kind}_offs", "int", "count", f"times off that count as {_AVOIDED[kind]}"))
        for name, (unit, what) in _UNITS.items():
            for end, which in _RANGE.items():
                rows.append((f"{kind}_{name}{end}", "float", unit, f"{_AVOIDED[kind]}: {what}, {which}"))
    return _rows(measurement, *rows)


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
        (
            "shown",
            "str",
            "word",
            "one of the eight states as people see them: in_use, off_rule, off_user, blind and so on",
        ),
    ),
    *_rows("device_day", *_DAY),  # a device and day (time: local midnight); rewritten when a late report comes
    # The same summed for each room (class: room, device: all) and for the school, so that a year of an estate is read
    # in a moment.
    *_rows("room_day", *_SUMMED, *_DAY),
    *_rows("school_day", *_SUMMED, *_DAY),
    *_rows(
        "room_ready",  # a room at the start of each of its lessons (class: room, device: all)
        ("ready", "int", "count", "machines of the room that were on, by their own reports"),
        ("total", "int", "count", "machines of the room, without always-on classes and relays"),
    ),
    *_rows(
        "room_hour",  # a room and clock hour (class: room, device: all; time: its beginning), of the machines that
        # people sit at: no always-on classes. The hours of a day add up to its device_day points.
        ("machines", "int", "count", "machines behind the sums"),
        ("in_use_s", "int", "s", "seconds in use, summed over the machines"),
        ("seen_s", "int", "s", "seconds of which Caretaker knows, summed over the machines"),
    ),
    *_rows(
        "room_use",  # a lesson or booking of a room (class: room, device: all; time: its beginning); beyond two hours
        # it is cut into pieces of an hour
        ("length_s", "int", "s", "how long it is"),
        ("seats", "int", "count", "machines of the room, or fewer where the booking says so"),
        ("used", "int", "count", "machines that were in use for a minute of it or more; at most `seats`"),
        ("seen", "int", "count", "machines of which Caretaker knows for all of it; at most `seats`"),
        ("in_use_s", "int", "s", "seconds in use within it, summed over the machines"),
        ("whose", "str", "word", "host, partner or community"),
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
        "school_now",  # each school once a minute of collector time (room, class and device: all)
        ("devices", "int", "count", "devices of the asset register that report; always-on ones too"),
        ("in_use", "int", "count", "of these: in use"),
        ("idle", "int", "count", "of these: on and idle"),
        ("asleep", "int", "count", "of these: asleep, planned or not"),
        ("off", "int", "count", "of these: off, planned or not"),
        ("lost", "int", "count", "of these: should be heard and are not"),
        ("unknown", "int", "count", "of these: never heard, or Caretaker itself could not see"),
        ("planned_off", "int", "count", "of those off or asleep: with a recorded cause"),
        ("lessons", "int", "count", "rooms with a lesson or booking now, and a machine that it needs"),
        ("lessons_ready", "int", "count", "of these: as many machines on as [find] room_ready_ratio asks; none: blind"),
        ("open_p1", "int", "count", "open incidents of priority 1"),
        ("open_p2", "int", "count", "open incidents of priority 2"),
        ("open_p3", "int", "count", "open incidents of priority 3"),
        ("open_p4", "int", "count", "open incidents of priority 4"),
        ("open_none", "int", "count", "open incidents without a priority: the school has no service level"),
        (
            "fix_left_min",
            "float",
            "min",
            "left on the tightest fix clock, of service; below 0: late; none: no clock runs",
        ),
        ("mode", "str", "word", "observe, trial or live: the most that a rule of the policy may do; none: no policy"),
        ("stopped", "bool", "yes/no", "the stop switch is on for the school or the estate"),
        ("blind", "bool", "yes/no", "Caretaker itself cannot see: no broker, behind, or the school looks lost to it"),
    ),
    *_rows(
        "room_now",  # each room every five minutes of collector time (class: room, device: all)
        ("devices", "int", "count", "devices of the room that report; always-on ones too"),
        ("in_use", "int", "count", "of these: in use"),
        ("idle", "int", "count", "of these: on and idle"),
        ("asleep", "int", "count", "of these: asleep, planned or not"),
        ("off", "int", "count", "of these: off, planned or not"),
        ("lost", "int", "count", "of these: should be heard and are not"),
        ("unknown", "int", "count", "of these: never heard, or Caretaker itself could not see"),
        ("planned_off", "int", "count", "of those off or asleep: with a recorded cause"),
        ("lesson", "bool", "yes/no", "a lesson or booking is on"),
        ("held", "bool", "yes/no", "a hold, freeze or maintenance of the room or school is in force"),
    ),
    *_rows(
        "collector",  # Caretaker itself once a minute (caretaker, all, collector, its client id); counters: since ever
        ("core_lag", "int", "count", "journal records that the rules have not dealt with"),
        ("recorder_lag", "int", "count", "journal records that are not in the store yet"),
        ("behind_s", "float", "s", "age of the newest message that the rules have read, when more wait"),
        ("received", "int", "count", "counter: messages read from the journal"),
        ("stored", "int", "count", "counter: points that the store has taken"),
        ("quarantined", "int", "count", "counter: messages put aside: against the contract, or refused by the store"),
        ("dropped", "int", "count", "counter: numbered messages that their device no longer has"),
        ("duplicates", "int", "count", "counter: numbered messages that had come before"),
        ("gaps_closed", "int", "count", "counter: times that a device's missing numbers all came"),
        ("missing", "int", "count", "numbered messages that exist and have neither come nor been given up"),
        ("replays", "int", "count", "counter: requests to a device to send missing numbers again"),
        ("commands_sent", "int", "count", "counter: commands sent to machines, without replay requests"),
        ("commands_done", "int", "count", "counter: commands that machines carried out"),
        ("commands_vetoed", "int", "count", "counter: commands that somebody at the machine stopped"),
        (
            "commands_refused",
            "int",
            "count",
            "counter: commands that the machine refused, as it was in use and the like",
        ),
        ("commands_failed", "int", "count", "counter: commands that went wrong on the machine"),
        ("commands_unanswered", "int", "count", "counter: commands whose time ran out unsent or without an answer"),
        ("journal_bytes", "int", "B", "size of the journal on disk"),
        ("state_bytes", "int", "B", "size of the state file on disk"),
        ("parts", "int", "count", "parts of the collector: broker, store, core, rules, alerts, notify"),
        ("parts_up", "int", "count", "of these: those that work"),
        ("agents", "int", "count", "devices that report, by the asset register"),
        ("agents_silent", "int", "count", "of these: lost, or never heard"),
        (
            "certificate_days",
            "float",
            "d",
            "days until the soonest end of a certificate that settings name; none: no TLS",
        ),
        ("tellings_waiting", "int", "count", "messages to people that wait to be sent, and are due"),
        ("tellings_failed", "int", "count", "counter: messages to people that were given up"),
    ),
    # A school (room, class and device: all) or one of its rooms (class: room, device: all), and a local day (time: its
    # midnight) or month so far (time: midnight of its first). Figures of a month are reckoned as one: its range is
    # narrower than the sum of the days' ranges. Rewritten when a late report touches a day.
    *_used("energy_day"),
    *_savings("energy_day", ("rule", "user", "both")),
    *_used("energy_month"),
    *_savings("energy_month", ("rule", "user", "both")),
    *_savings("rule_day", ("rule",)),  # a rule of a school (class: rule:NAME, room and device: all) and local day
    *_savings("rule_month", ("rule",)),  # the same and a local month, so far
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

OF_DEVICES = ("device", "transition", "device_day", "incident", "command")
"""Measurements with a series for each device."""
OF_ROOMS = ("room_ready", "room_day", "room_now", "room_hour", "room_use", "energy_day", "energy_month", "incident")
"""Measurements with a series for each room."""
OF_SCHOOLS = ("school_day", "school_now", "energy_day", "energy_month", "incident")
"""Measurements with a series for each school. Those of rules have one for each school and rule, the rest one of all."""
