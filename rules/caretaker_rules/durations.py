"""Lengths of time as people write them in a policy: "30 min", "1 h 30 min", "90 s", "2 d"."""

import re
from typing import Annotated

from msgspec import Meta

Duration = Annotated[
    str,
    Meta(pattern=r"^\d{1,5} (s|min|h|d)( \d{1,5} (s|min|h))*$", description='a length of time such as "30 min"'),
]
"""A length of time such as "30 min" or "1 h 30 min"."""

_UNIT_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_PART = re.compile(r"(\d{1,5}) (s|min|h|d)", re.ASCII)


def parse_duration(text: str) -> int:
    """Seconds of "30 min", "1 h 30 min", "90 s" or "2 d". ValueError says what is wrong and how to write it."""
    parts = text.split(" ")
    pairs = [" ".join(parts[start : start + 2]) for start in range(0, len(parts), 2)]
    matches = [_PART.fullmatch(pair) for pair in pairs]
    if not text or any(match is None for match in matches):
        raise ValueError(f'{text!r} is not a length of time; write "30 min", "1 h 30 min", "90 s" or "2 d"')
    units = [match[2] for match in matches if match is not None]
    if len(set(units)) != len(units):
        raise ValueError(f"{text!r} names a unit twice")
    return sum(int(match[1]) * _UNIT_S[match[2]] for match in matches if match is not None)
