"""Until when a system is supported, by what its agent tells."""

from datetime import date

from caretaker_rules.lifecycle import KNOWN, counted, support_of
from caretaker_rules.model import Support


def test_a_name_counts_to_its_end_and_the_longest_wins() -> None:
    assert support_of("Windows 10 10.0.19045").ends == date(2025, 10, 14)
    assert support_of("Windows 101") is None
    assert support_of("Windows 11 10.0.26100") is None
    assert support_of("debian gnu/linux 12 (bookworm) 6.1.0").ends == date(2028, 6, 30)
    assert support_of("Windows 8.1 6.3").system == "Windows 8.1"
    assert support_of("") is None


def test_what_the_school_writes_comes_first() -> None:
    own = (Support(system="Windows 10", ends=date(2028, 10, 10), source="paid updates"),)
    assert support_of("Windows 10 10.0.19045", own).source == "paid updates"
    assert support_of("Windows 7 6.1", own) in KNOWN


def test_machines_are_counted_by_the_name_in_the_table_else_by_two_words() -> None:
    told = ["Windows 10 10.0.19045", "Windows 10 10.0.19044", "Windows 11 10.0.26100", "Plan 9 from Bell"]
    assert counted(told) == {"Windows 10": 2, "Plan 9": 1, "Windows 11": 1}
