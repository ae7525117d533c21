"""Mistakes in settings files, as people read them: place, what stands there, what is wrong with it and how to mend it.

estate.toml:14  schools[1].service_level = "enhancd"   no such service level; did you mean "enhanced"?
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import NamedTuple

from caretaker_contract.errors import ConfigError

_WIDEST_SUBJECT = 70
_LONGEST_VALUE = 48


class Fault(NamedTuple):
    """One mistake. `line` 0 means the file as a whole."""

    path: Path
    line: int
    subject: str
    wrong: str

    @property
    def place(self) -> str:
        """FILE:LINE, or FILE."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)


def layout(faults: Iterable[Fault]) -> list[str]:
    """One text a fault, each once, in the order of the files and of their lines, the last column aligned."""
    once = list(dict.fromkeys(faults))
    files = list(dict.fromkeys(fault.path for fault in once))
    once.sort(key=lambda fault: (files.index(fault.path), fault.line))
    starts = [f"{fault.place}  {fault.subject}" if fault.subject else fault.place for fault in once]
    width = max((len(start) for start in starts if len(start) <= _WIDEST_SUBJECT), default=0)
    return [f"{start:<{width}}   {fault.wrong}" for start, fault in zip(starts, once, strict=True)]


def stop_at(faults: Sequence[Fault]) -> None:
    """Raise ConfigError with all the faults, if there are any."""
    if faults:
        raise ConfigError(layout(faults))


def guess(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; None when nothing comes near."""
    matches = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def choose(word: object, known: Sequence[str], what: str) -> str:
    """What to say about a word that is none of `known`: the nearest of them, else the first few."""
    nearest = guess(word, known) if isinstance(word, str) else None
    if nearest is not None:
        return f"no such {what}; did you mean {show_value(nearest)}?"
    if not known:
        return f"no such {what}; none is declared"
    *first, last = map(show_value, known[:5])
    some = f"{', '.join(first)} or {last}" if first else last
    return f"no such {what}; choose {some}" + (f" ({len(known)} in all)" if len(known) > 5 else "")


def found_at(path: Path, written: str) -> str:
    """Where a relative path led to, when that is not how it is written."""
    return "" if str(path) == written else f" ({path})"


def show_value(value: object) -> str:
    """A value as it would stand in TOML, shortened; "" for a table or a long list."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return ""
    if isinstance(value, list):
        items = [show_value(item) for item in value]
        text = f"[{', '.join(items)}]"
        return text if all(items) and len(text) <= _LONGEST_VALUE else ""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f'{text[: _LONGEST_VALUE - 4]}..."'
