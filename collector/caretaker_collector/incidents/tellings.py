"""What people were told, in the state file: messages that wait for the notifier, and all that went out before.

Rules write within a batch's transaction (`write`). An id is made from what a message is about, so that a batch which is
replayed after a crash writes the same row again, which changes nothing.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence

import msgspec

from caretaker_collector.incidents.book import Write
from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.alert_steps.digest import Seen, digest, due, ids
from caretaker_rules.alerting import Telling, Told

WAITING = "waiting"
WITHIN = "within"
"""Status of a row for an incident that another row's message tells of too: nothing is sent for it."""
_MOST_NAMED = 500
"""SQLite takes at most 999 values in one statement in old versions."""


def write(telling: Telling) -> list[Write]:
    """The statements that hand a message to the notifier."""
    return [
        (
            "INSERT OR IGNORE INTO tellings (id, uid, what, channel, made_ms, due_ms, next_ms, telling, status) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                telling.id,
                telling.uid,
                telling.what,
                telling.channel,
                telling.made_ms,
                telling.due_ms,
                telling.due_ms,
                msgspec.json.encode(telling),
                WITHIN if telling.within else WAITING,
            ),
        )
    ]


def told_of(db: sqlite3.Connection, uids: Sequence[str]) -> list[Told]:
    """All that was ever told of these incidents, in order of time; waiting or sent makes no difference."""
    found: list[Told] = []
    for start in range(0, len(uids), _MOST_NAMED):
        some = uids[start : start + _MOST_NAMED]
        marks = ", ".join("?" * len(some))
        rows = db.execute(f"SELECT telling FROM tellings WHERE uid IN ({marks})", some)  # noqa: S608 (marks only)
        found.extend(msgspec.json.decode(blob, type=Telling).told for (blob,) in rows)
    return sorted(found, key=lambda told: (told.at_ms, told.uid, told.what, told.channel))


def digests(db: sqlite3.Connection, alerts: AlertsFile, seen: Callable[[], Iterable[Seen]], now_ms: int) -> list[Write]:
    """The statements for the digests whose time has come and that were not written yet. Cheap when there is none.

    `seen` is asked only then: the incidents of all schools and of Caretaker itself, open ones and those fixed lately.
    """
    writes: list[Write] = []
    gathered: list[Seen] | None = None
    for which in due(alerts, now_ms):
        missing = [number for number in ids(alerts, which).values() if not _is_written(db, number)]
        if not missing:
            continue
        if gathered is None:
            gathered = list(seen())
        for telling in digest(alerts, which, gathered, now_ms):
            if telling.id in missing:
                writes += write(telling)
    return writes


def _is_written(db: sqlite3.Connection, number: str) -> bool:
    return db.execute("SELECT 1 FROM tellings WHERE id = ?", (number,)).fetchone() is not None
