"""Checks of hours in settings files: the declaration has seen to their form, the calendar knows the figures."""

from collections.abc import Iterable

from caretaker_collector.files.toml_file import TomlFile
from caretaker_collector.files.toml_lines import KeyPath
from caretaker_rules.calendar import parse_span


def check_spans(file: TomlFile, key: KeyPath, spans: Iterable[str]) -> None:
    """Hours such as "mon-fri 08:00-17:00"."""
    for number, span in enumerate(spans):
        try:
            parse_span(span)
        except ValueError as error:
            file.fault((*key, number), str(error), span)


def check_period(file: TomlFile, key: KeyPath, hours: str) -> None:
    """A lesson's hours, within one day."""
    start, _, end = hours.partition("-")
    try:
        parse_span(f"mon {hours}")
    except ValueError as error:
        file.fault(key, str(error).replace("mon ", ""), hours)
        return
    if end < start:
        file.fault(key, f"ends before it starts: a period is within one day, such as {start}-24:00", hours)
