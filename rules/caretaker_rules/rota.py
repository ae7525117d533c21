"""Who hosts and who chairs the next service review of a network: whoever did so least recently.

Each month a different school hosts. It is a queue: whoever has hosted goes to its end, and a newcomer comes first once.
A school that asks not to host keeps its place, and comes first when it is back. Among schools that never did, the order
is that of their names. A representative of the school that hosts next chairs: so who chairs is as fair as who hosts,
they are two schools, and the next host has just seen how it is done.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct


class Meeting(Struct, frozen=True, kw_only=True):
    """One review: the month that it looks at, the school that hosts, and the school whose representative chairs."""

    month: str  # 2026-09
    host: str
    chair: str


def next_meeting(month: str, schools: Iterable[str], past: Sequence[Meeting]) -> Meeting | None:
    """The meeting about `month`, after those of earlier months; None: no school is ready to host.

    The host is the school that hosted least recently, the chair the one of all others that did.
    """
    ready = sorted(set(schools))
    if not ready:
        return None
    before = sorted((meeting for meeting in past if meeting.month < month), key=lambda meeting: meeting.month)
    hosted = {meeting.host: number for number, meeting in enumerate(before)}
    host, *others = sorted(ready, key=lambda name: (hosted.get(name, -1), name))
    return Meeting(month=month, host=host, chair=others[0] if others else host)


def after(month: str) -> str:
    """The month after "2026-09"."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12:04}-{number % 12 + 1:02}"
