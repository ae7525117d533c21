"""Why: every decision carries reasons, and each reason is one of these with a sentence for people (invariant I8).

A reason reaches ledger, log, screen and review as it stands here; nobody writes a second text for it.
"""

from enum import StrEnum

from msgspec import Struct


class Why(StrEnum):
    """One reason for, against or beside switching. The member's value is stored; `SENTENCES` is shown."""

    # for
    IDLE_LONG_ENOUGH = "idle_long_enough"
    NOT_BOOKED = "not_booked"
    RULE_HOURS = "rule_hours"
    WITHIN_LIMITS = "within_limits"
    ORDERED = "ordered"
    # keeps it on
    IN_USE = "in_use"
    NOT_IDLE_LONG_ENOUGH = "not_idle_long_enough"
    IDLE_UNKNOWN = "idle_unknown"
    STATE_UNKNOWN = "state_unknown"
    REPORT_STALE = "report_stale"
    CLOCK_DOUBTFUL = "clock_doubtful"
    RECENT_RECONNECT = "recent_reconnect"
    CONTRADICTORY = "contradictory"
    BOOKED = "booked"
    CALENDAR_UNKNOWN = "calendar_unknown"
    HELD = "held"
    FROZEN = "frozen"
    MAINTENANCE = "maintenance"
    PATCH_WINDOW = "patch_window"
    EXEMPT = "exempt"
    ALWAYS_ON = "always_on"
    INHIBITED = "inhibited"
    UNABLE = "unable"
    UNREGISTERED = "unregistered"
    UNKNOWN_CLASS = "unknown_class"
    RECENT_VETO = "recent_veto"
    ALREADY_ASKED = "already_asked"
    ASKED_ONCE = "asked_once"
    NOT_WAKEABLE = "not_wakeable"
    CHECK_FAILED = "check_failed"
    OUTSIDE_RULE_HOURS = "outside_rule_hours"
    NO_RULE = "no_rule"
    ALREADY_OFF = "already_off"
    # limits
    LIMIT_PER_MINUTE = "limit_per_minute"
    LIMIT_ROOM = "limit_room"
    LIMIT_SCHOOL = "limit_school"
    CYCLES = "cycles"
    SCHOOL_LOOKS_LOST = "school_looks_lost"
    STOPPED = "stopped"
    OBSERVE_ONLY = "observe_only"
    COLLECTOR_BEHIND = "collector_behind"
    NO_BROKER = "no_broker"
    # waking
    WANTED_FOR_LESSON = "wanted_for_lesson"
    WANTED_AT = "wanted_at"
    WANTED_FOR_PATCHES = "wanted_for_patches"
    WANTED_BY_PERSON = "wanted_by_person"
    WAKE_ATTEMPT = "wake_attempt"
    WOKEN_LATELY = "woken_lately"
    LEFT_SINCE = "left_since"
    LIMIT_WAKES = "limit_wakes"
    # cannot be woken, with what is likely behind it
    NO_MAC = "no_mac"
    NO_RELAY = "no_relay"
    RELAY_FAILED = "relay_failed"
    RELAY_SILENT = "relay_silent"
    NEVER_ANSWERED = "never_answered"
    NOT_BACK = "not_back"


SENTENCES: dict[Why, str] = {
    Why.IDLE_LONG_ENOUGH: "idle {value}, limit {limit}",
    Why.NOT_BOOKED: "not booked, next {value}",
    Why.RULE_HOURS: "within the rule's hours {value}",
    Why.WITHIN_LIMITS: "within limits: {value}",
    Why.ORDERED: "ordered by {value}",
    Why.IN_USE: "in use {value} ago",
    Why.NOT_IDLE_LONG_ENOUGH: "idle only {value}, limit {limit}",
    Why.IDLE_UNKNOWN: "the machine cannot tell how long it has been idle, so it counts as in use",
    Why.STATE_UNKNOWN: "nothing certain is known of it ({value})",
    Why.REPORT_STALE: "its last report is {value} old, limit {limit}: doubt keeps it on",
    Why.CLOCK_DOUBTFUL: "its clock is {value} off, limit {limit}: doubt keeps it on",
    Why.RECENT_RECONNECT: "its connection came back {value} ago, wait {limit}",
    Why.CONTRADICTORY: "its readings contradict each other ({value}): doubt keeps it on",
    Why.BOOKED: "booked {value}",
    Why.CALENDAR_UNKNOWN: "no timetable is known for {value}, so it counts as booked",
    Why.HELD: "held until {value}",
    Why.FROZEN: "exam freeze until {value}",
    Why.MAINTENANCE: "worked on until {value}",
    Why.PATCH_WINDOW: "kept on for updates until {value}",
    Why.EXEMPT: "exempt by its tag",
    Why.ALWAYS_ON: "class {value} is always on",
    Why.INHIBITED: "a programme on it asked to stay on, or software is being installed",
    Why.UNABLE: "it has not said that it can do {value}",
    Why.UNREGISTERED: "not in the asset register",
    Why.UNKNOWN_CLASS: "its class {value} is not in the estate",
    Why.RECENT_VETO: "somebody there said no {value} ago, wait {limit}",
    Why.ALREADY_ASKED: "asked {value} ago, answer pending",
    Why.ASKED_ONCE: "asked {value} ago in this same idle time ({limit}): it is not asked twice",
    Why.NOT_WAKEABLE: "could not be woken again ({value}), so it stays on",
    Why.CHECK_FAILED: "a check could not be made ({value}): doubt keeps it on",
    Why.OUTSIDE_RULE_HOURS: "outside the rule's hours {value}",
    Why.NO_RULE: "no rule selects it",
    Why.ALREADY_OFF: "already {value}",
    Why.LIMIT_PER_MINUTE: "limit of {limit} a minute reached in this school",
    Why.LIMIT_ROOM: "limit of {limit} of a room at once reached",
    Why.LIMIT_SCHOOL: "limit of {limit} of the school at once reached",
    Why.CYCLES: "switched {value} times today already, limit {limit} a day: starts wear a machine out",
    Why.SCHOOL_LOOKS_LOST: "{value} of the school look lost: Caretaker doubts its own view and sends nothing there",
    Why.STOPPED: "stopped by a person ({value})",
    Why.OBSERVE_ONLY: "the rule only observes ({value})",
    Why.COLLECTOR_BEHIND: "Caretaker itself is {value} behind, limit {limit}",
    Why.NO_BROKER: "Caretaker itself has no connection to its broker",
    Why.WANTED_FOR_LESSON: "wanted for the lesson {value}",
    Why.WANTED_AT: "wanted at {value}",
    Why.WANTED_FOR_PATCHES: "wanted for the patch window {value}",
    Why.WANTED_BY_PERSON: "a person asked for it ({value})",
    Why.WAKE_ATTEMPT: "packet {value} of {limit} at most",
    Why.WOKEN_LATELY: "a packet went out {value} ago; the next one {limit} after it, should no report come",
    Why.LEFT_SINCE: "went {value} after waking began, so it is left as it is",
    Why.LIMIT_WAKES: "limit of {limit} wakes a minute reached in this school",
    Why.NO_MAC: "the asset register has no MAC address for it",
    Why.NO_RELAY: "no relay of its school is online",
    Why.RELAY_FAILED: "the relay could not send the packets ({value})",
    Why.RELAY_SILENT: "the relay did not answer ({value})",
    Why.NEVER_ANSWERED: "no report after {value} packets, and it never answered one before: "
    "wake-on-LAN may be off in its firmware or driver, or its MAC address wrong",
    Why.NOT_BACK: "no report after {value} packets, though it answered before ({limit}): look at its power and cable",
}


class Reason(Struct, frozen=True):
    """A reason with its figures as people read them (such as "34 min") and the age of the input behind it."""

    why: Why
    value: str = ""
    limit: str = ""
    age_s: int | None = None  # how old the input was; None where age has no meaning

    def __str__(self) -> str:
        return SENTENCES[self.why].format(value=self.value or "?", limit=self.limit or "?")


def duration(seconds: float) -> str:
    """A length of time as people say it: 20 s, 34 min, 2 h 5 min, 3 d 2 h."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86_400:
        hours, rest = divmod(whole // 60, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(whole // 3600, 24)
    return f"{days} d {rest} h" if rest else f"{days} d"
