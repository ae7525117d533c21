"""Until when the makers of an operating system support it, by the name that its agent tells.

What a school's own table in estate.toml says comes before `KNOWN`. Where a name is in neither, nobody knows: support of
Windows 11 depends on its version and edition, which no agent tells, so it is left to that table.
"""

from collections.abc import Iterable, Sequence
from datetime import date

from caretaker_rules.model import Support

_MICROSOFT = "Microsoft, product lifecycle, without paid extended updates (read November 2026)"
_DEBIAN = "Debian, end of long-term support (read November 2026)"
KNOWN: tuple[Support, ...] = (
    Support(system="Windows 7", ends=date(2020, 1, 14), source=_MICROSOFT),
    Support(system="Windows 8.1", ends=date(2023, 1, 10), source=_MICROSOFT),
    Support(system="Windows 10", ends=date(2025, 10, 14), source=_MICROSOFT),
    Support(system="Windows 2012ServerR2", ends=date(2023, 10, 10), source=_MICROSOFT),
    Support(system="Windows 2016Server", ends=date(2027, 1, 12), source=_MICROSOFT),
    Support(system="Windows 2019Server", ends=date(2029, 1, 9), source=_MICROSOFT),
    Support(system="Windows 2022Server", ends=date(2031, 10, 14), source=_MICROSOFT),
    Support(system="Debian GNU/Linux 10", ends=date(2024, 6, 30), source=_DEBIAN),
    Support(system="Debian GNU/Linux 11", ends=date(2026, 8, 31), source=_DEBIAN),
    Support(system="Debian GNU/Linux 12", ends=date(2028, 6, 30), source=_DEBIAN),
    Support(system="Debian GNU/Linux 13", ends=date(2030, 6, 30), source=_DEBIAN),
)


def support_of(system: str, own: Sequence[Support] = ()) -> Support | None:
    """The entry with the longest name that `system` begins with, of `own` before KNOWN; None: there is none."""
    for table in (own, KNOWN):
        fitting = [each for each in table if _begins(system, each.system)]
        if fitting:
            return max(fitting, key=lambda each: len(each.system))
    return None


def _begins(system: str, name: str) -> bool:
    """Whether the text begins with all of the name: "Windows 10" is not the beginning of "Windows 101"."""
    text, start = system.casefold(), name.casefold()
    return text.startswith(start) and not text[len(start) : len(start) + 1].isalnum()


def family(system: str, own: Sequence[Support] = ()) -> str:
    """How machines are counted: by the name in the table, else by the first two words of what the agent tells."""
    known = support_of(system, own)
    return known.system if known is not None else " ".join(system.split()[:2])


def counted(systems: Iterable[str], own: Sequence[Support] = ()) -> dict[str, int]:
    """How many machines of each, the most first; "" are those that told none."""
    found: dict[str, int] = {}
    for system in systems:
        name = family(system, own)
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
