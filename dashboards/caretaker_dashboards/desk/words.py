"""How the desk says times, lengths of time, energy and states. Every time is on the clock of a school."""

from datetime import date, datetime
from urllib.parse import quote, urlencode

from caretaker_dashboards.states import LOOK
from caretaker_rules.calendar import local, zone_of
from caretaker_rules.reasons import duration
from caretaker_rules.shown import Shown

READY_MATTERS_MS = 3_600_000
NOT_KNOWN = "not known"

LETTERS: dict[Shown, str] = {
    Shown.IN_USE: "U",
    Shown.IDLE: "I",
    Shown.ASLEEP: "Z",
    Shown.OFF_RULE: "R",
    Shown.OFF_USER: "O",
    Shown.LOST: "L",
    Shown.BLIND: "B",
    Shown.UNKNOWN: "?",
}
"""A sign for each state where its word has no room, so that colour is never alone."""

VERDICTS: dict[str, str] = {
    "shut_down": "shut down",
    "sleep": "sent to sleep",
    "restart": "restarted",
    "warn_only": "warned only",
    "left_on": "left on",
    "not_on": "off already",
    "wake": "woken",
    "not_woken": "not woken",
}


def clock(at_ms: int | None, zone: str, now_ms: int, *, seconds: bool = False) -> str:
    """ "16:41" when that is today, else "Wed 7 Oct 16:41", with the year when it is another one."""
    if at_ms is None:
        return NOT_KNOWN
    moment, now = local(at_ms, zone_of(zone)), local(now_ms, zone_of(zone))
    time = f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
    return time if moment.date() == now.date() else f"{_day(moment, now.year)} {time}"


def machine_time(at_ms: int, zone: str) -> str:
    """For the datetime attribute of a <time>."""
    return local(at_ms, zone_of(zone)).isoformat(timespec="seconds")


def day(iso: str) -> str:
    """ "Tue 6 Oct 2026" of an ISO day."""
    return f"{_day(date.fromisoformat(iso), None)}"


def short_day(iso: str) -> str:
    """ "Tue 6 Oct" of an ISO day."""
    found = date.fromisoformat(iso)
    return _day(found, found.year)


def _day(moment: date | datetime, this_year: int | None) -> str:
    text = f"{moment:%a} {moment.day} {moment:%b}"
    return text if moment.year == this_year else f"{text} {moment.year}"


def ago(at_ms: int | None, now_ms: int) -> str:
    """ "20 s ago"; a time to come is "now", for a machine's clock may be ahead of ours."""
    if at_ms is None:
        return "never"
    return "now" if at_ms >= now_ms else f"{duration((now_ms - at_ms) / 1000)} ago"


def left(left_ms: int | None) -> str:
    """What is left of a clock: "1 h 27 min left", "12 min late"; "" where none runs."""
    if left_ms is None:
        return ""
    return f"{duration(left_ms / 1000)} left" if left_ms >= 0 else f"{duration(-left_ms / 1000)} late"


def soon(starts_ms: int | None, running: bool, now_ms: int) -> bool:
    """Whether it matters yet that a room is not ready: its lesson runs, or begins within the hour.

    Before that its machines are off because nobody needs them.
    """
    return starts_ms is not None and (running or starts_ms - now_ms <= READY_MATTERS_MS)


def lasting(ms: float) -> str:
    """A length of time in milliseconds."""
    return duration(ms / 1000)


def kwh(value: float | None) -> str:
    """ "61 kWh", "0.4 kWh", "1,102 kWh"."""
    return NOT_KNOWN if value is None else f"{_plain(value)} kWh"


def kwh_range(value: tuple[float, float, float] | None) -> str:
    """ "61 kWh (44 to 79)" of low, likely and high."""
    if value is None:
        return NOT_KNOWN
    low, likely, high = value
    return f"{_plain(likely)} kWh ({_plain(low)} to {_plain(high)})"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == 0 else f"{value:.1f}"


def plural(number: int, one: str, many: str = "") -> str:
    """ "1 machine", "31 machines", "1,204 machines"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def verdict(value: str) -> str:
    """A decision's verdict in words."""
    return VERDICTS.get(value, value.replace("_", " "))


def tame(name: str) -> str:
    """A class or kind as people read it: thin_client is thin client."""
    return name.replace("_", " ")


def in_words(bar: dict[Shown, int]) -> str:
    """ "41 in use, 118 idle, 1 lost", in the order of the eight states; what there is none of is left out."""
    return ", ".join(f"{bar[shown]:,} {LOOK[shown].label}" for shown in LOOK if bar.get(shown)) or "no machines"


def path(*parts: str | int, **query: str | int | None) -> str:
    """An address of the desk: each part and value is quoted, a value that is empty is left out."""
    address = "/" + "/".join(quote(str(part), safe="") for part in parts)
    kept = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{address}?{urlencode(kept)}" if kept else address


def place_path(place: str) -> str:
    """Of "ash" the school, of "ash/ict1" the room or machine (looked up when it is opened), of "all" the estate."""
    if place in ("", "all"):
        return "/"
    school, _, rest = place.partition("/")
    return path("places", school, rest) if rest else path("schools", school)
