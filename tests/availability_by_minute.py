"""Availability a second time, on purpose as simple as can be: it walks over every minute and asks what it was.

Written from the rules as people read them (rules/README.md, "Availability"), not from the product, and only for times
on whole minutes. It is slow, and that is all right."""

from collections.abc import Sequence
from typing import Any

MINUTE_MS = 60_000


def minutes_of(spans: Sequence[tuple[int, int]]) -> set[int]:
    """Every minute of these spans."""
    return {minute for begin, end in spans for minute in range(begin // MINUTE_MS, end // MINUTE_MS)}


def by_minute(
    stretches: Sequence[Any],
    owed: Sequence[tuple[int, int]],
    maintenance: Sequence[tuple[int, int]],
    lessons: Sequence[tuple[int, int]],
    wanted: Sequence[Any],
    user_off: str,
    counted: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Minutes of each kind, outages as (from, until, what, cause, began) in minutes, and faults."""
    owed_minutes, maintained, in_lessons = minutes_of(owed), minutes_of(maintenance), minutes_of(lessons)
    lesson_starts = {begin // MINUTE_MS for begin, _ in lessons}
    wakes = []
    for one in wanted:
        needed = one.needed_ms // MINUTE_MS
        asked = needed if one.asked_ms is None else one.asked_ms // MINUTE_MS
        wakes.append((asked, needed))
    sums = dict.fromkeys(
        (
            "owed",
            "maintained",
            "available",
            "down",
            "unseen",
            "lesson",
            "lesson_available",
            "lesson_down",
            "lesson_unseen",
            "faults",
        ),
        0,
    )
    outages: list[list[Any]] = []
    felt: list[bool] = []  # of each outage: whether it reaches into what is counted
    needed_now = False  # it was needed, and has not been on since
    label = None  # of the down time that touches this minute
    outage_open = False  # the last minute was of the last outage
    trouble: dict[str, Any] | None = None  # down time with nothing but blind time in it
    for stretch in stretches:
        first, last = stretch.from_ms // MINUTE_MS, stretch.until_ms // MINUTE_MS
        what, cause = stretch.what.value, stretch.cause.value
        for minute in range(first, last):
            if what == "planned_off":
                for asked, needed in wakes:
                    if asked >= first and (needed if needed > asked else asked) == minute:
                        needed_now = True
                if minute in lesson_starts and (cause != "user" or user_off == "until_lesson"):
                    needed_now = True
                status = "down" if needed_now else "available"
            elif what == "on":
                needed_now = False
                status = "available"
            else:
                status = "unseen" if what == "blind" else "down"
            is_owed, is_maintained = minute in owed_minutes, minute in maintained
            is_counted = counted is None or counted[0] // MINUTE_MS <= minute < counted[1] // MINUTE_MS
            if is_owed and is_counted:
                sums["owed"] += 1
                if is_maintained:
                    sums["maintained"] += 1
                else:
                    sums[status] += 1
                    if minute in in_lessons:
                        sums["lesson"] += 1
                        sums["lesson_" + status] += 1
            if status == "available":
                trouble = label = None
            elif status == "unseen":
                label = None
            else:
                if label is None:
                    label = ("not_back" if what == "planned_off" else what, cause)
                if trouble is None:
                    trouble = {"from": minute, "began": None, "fault": False}
                if is_owed and not is_maintained and not trouble["fault"]:
                    trouble["fault"] = True
                    sums["faults"] += is_counted
            if status == "down" and not is_maintained:
                if not outage_open:
                    assert trouble is not None and label is not None
                    overrun = trouble["began"] is None and trouble["from"] < minute
                    if trouble["began"] is None:
                        trouble["began"] = minute
                    outages.append([minute, minute, "overrun" if overrun else label[0], label[1], trouble["began"]])
                    felt.append(False)
                outage_open = True
                outages[-1][1] = minute + 1
                felt[-1] = felt[-1] or (is_owed and is_counted)
            else:
                outage_open = False
    return sums | {"outages": [tuple(one) for one, is_felt in zip(outages, felt, strict=True) if is_felt]}
