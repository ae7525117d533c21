"""Reads any TOML file that a person writes into the msgspec Struct that declares it, and finds all mistakes at once.

The Struct is the schema: keys, types, limits and defaults come from it and are written nowhere else. The walk below
only looks for what to say about each place; what is handed back is msgspec's own conversion of the whole.
"""

import re
import tomllib
import types
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from caretaker_collector.files.faults import Fault, choose, guess, show_value, stop_at
from caretaker_collector.files.toml_lines import KeyPath, Lines, locate, show

T = TypeVar("T", bound=Struct)

_EXPECTED: dict[object, tuple[str, str]] = {
    str: ("text in quotes", '"..."'),
    bool: ("true or false", "true"),
    int: ("a whole number", "0"),
    float: ("a number", "0.0"),
    date: ("a date such as 2026-09-01", "2026-09-01"),
    datetime: ("a date and time such as 2026-09-01T08:50:00", "2026-09-01T08:50:00"),
    time: ("a time such as 08:50:00", "08:50:00"),
    list: ("a list in [ ]", "[]"),
    dict: ("a table", "{}"),
}
_SYNTAX_HELP = (
    ("Invalid value", "texts stand in quotes, lists in [ ], dates as 2026-09-01"),
    ("Cannot overwrite", "this key stands twice in its table: keep one"),
    ("Cannot declare", "this table stands twice: keep one, or write [[...]] for a list of tables"),
    ("Cannot mutate", "this list is complete already: write all of it in one place"),
    ("Expected '='", "write key = value"),
    ("Unterminated string", "the closing quote is missing"),
    ("Illegal character", "the closing quote is missing, or this character must be written as an escape"),
    ("Unescaped '\\'", "write \\\\ for one backslash, or use 'single quotes'"),
    ("Unclosed", "the closing bracket is missing"),
    ("Expected ']'", "the closing bracket is missing"),
    ("Expected newline", "one key = value a line; dates as 2026-09-01, numbers without leading zeros"),
    ("Invalid initial character", "a table in { } stands on one line and ends without a comma"),
    ("Invalid statement", "a line is key = value, [table], [[list of tables]] or # comment; keys use a-z 0-9 _ -"),
)


class TomlFile:
    """One file, parsed, with the line of each key. Checks that a Struct cannot express add their own faults to it."""

    def __init__(self, path: Path, data: dict[str, Any], lines: Lines) -> None:
        self.path = path
        self.data = data
        self.lines = lines
        self.faults: list[Fault] = []

    def fault(self, key: KeyPath, wrong: str, value: object = None) -> None:
        """Note a mistake at `key`; `value` None shows no value."""
        shown = show_value(value) if value is not None else ""
        self.faults.append(Fault(self.path, self.lines.of(key), show(key) + (f" = {shown}" if shown else ""), wrong))


def open_toml(path: Path) -> TomlFile:
    """Read and parse `path`. ConfigError when it cannot be read, or names the line at which it stops being TOML."""
    text = read_text(path, "TOML")
    try:
        return TomlFile(path, tomllib.loads(text), locate(text))
    except tomllib.TOMLDecodeError as error:
        stop_at([_syntax_fault(path, text, str(error))])
        raise


def read_text(path: Path, what: str) -> str:
    """The text of a file, with or without a byte order mark. ConfigError when it cannot be read as UTF-8."""
    wrong = ""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        wrong = "no such file"
    except IsADirectoryError:
        wrong = "a folder, not a file"
    except UnicodeDecodeError as error:
        wrong = f"not UTF-8 (byte {error.start + 1}): save it as {what} in UTF-8"
    except OSError as error:
        wrong = f"cannot be read: {error.strerror}"
    stop_at([Fault(path, 0, "", wrong)])
    raise AssertionError  # stop_at has raised


def convert(file: TomlFile, kind: type[T], elsewhere: Mapping[str, type[Struct]]) -> T | None:
    """`file` as a `kind`; None when faults were found, which are then in `file.faults`.

    `elsewhere` names the other kinds of files, for keys that stand in the wrong one.
    """
    walk = _Walk(file, kind, elsewhere)
    before = len(file.faults)
    walk.struct(file.data, kind, ())
    if len(file.faults) > before:
        return None
    try:
        return msgspec.convert(file.data, kind)
    except msgspec.ValidationError as error:
        # What only a Struct's own __post_init__ can tell.
        reason, _, place = str(error).partition(" - at `$")
        keys = re.findall(r"\[(\d+)\]|\.(\w+)", place)
        file.fault(tuple(int(number) if number else name for number, name in keys), reason)
        return None


class _Walk:
    """Goes through data and declaration side by side."""

    def __init__(self, file: TomlFile, kind: type[Struct], elsewhere: Mapping[str, type[Struct]]) -> None:
        self.file = file
        self.kind = kind
        self.elsewhere = elsewhere

    def value(self, value: object, wanted: Any, path: KeyPath) -> None:
        plain, metas = _unwrap(wanted)
        origin = get_origin(plain)
        if isinstance(plain, type) and issubclass(plain, Struct):
            if isinstance(value, dict):
                self.struct(value, plain, path)
            else:
                self.file.fault(path, f"expected a table: {_home(path)} and a line for each key", value)
        elif origin in (list, tuple) and isinstance(value, list):
            item_type = get_args(plain)[0]
            for number, item in enumerate(value):
                self.value(item, item_type, (*path, number))
            self._once(value, item_type, path)
            self._leaf(value, Annotated[list[Any], *metas] if metas else list[Any], path)
        elif origin is list and isinstance(value, dict):
            self.file.fault(path, f"expected a list: {_home((*path, 0))} for each of its tables")
        elif origin is dict and isinstance(value, dict):
            for key, item in value.items():
                self.value(item, get_args(plain)[1], (*path, key))
        else:
            self._leaf(value, wanted, path)

    def struct(self, table: dict[str, object], kind: type[Struct], path: KeyPath) -> None:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        meant = set()
        for key, value in table.items():
            if key in fields:
                self.value(value, fields[key].type, (*path, key))
            else:
                meant.add(guess(key, fields))
                self.file.fault((*path, key), self._unknown(key, list(fields)))
        for key, field in fields.items():
            if field.required and key not in table and key not in meant:
                self.file.faults.append(
                    Fault(self.file.path, self.file.lines.of(path), show((*path, key)), _missing(key, field.type, path))
                )

    def _leaf(self, value: object, wanted: Any, path: KeyPath) -> None:
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            self.file.fault(path, _not_what_was_wanted(value, wanted, path), value)

    def _once(self, items: list[object], item_type: Any, path: KeyPath) -> None:
        """Names are what tables of a list are known by: two of one name cannot both be meant."""
        plain, _ = _unwrap(item_type)
        if not (isinstance(plain, type) and issubclass(plain, Struct)):
            return
        seen: dict[str, int] = {}
        for number, item in enumerate(items):
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str):
                continue
            if name in seen:
                first = self.file.lines.of((*path, seen[name], "name"))
                self.file.fault((*path, number, "name"), f"the name stands in line {first} already", name)
            seen.setdefault(name, number)

    def _unknown(self, key: str, known: list[str]) -> str:
        """An unknown key: perhaps mistyped, perhaps in the wrong table, perhaps in the wrong file."""
        nearest = guess(key, known)
        if nearest is not None:
            return f'unknown key; did you mean "{nearest}"?'
        homes = {f"in {_home(path)}": keys for path, keys in _tables(self.kind)}
        for name, kind in self.elsewhere.items():
            if kind is not self.kind:
                home = "in a policy" if name == "policy" else f"in {name}.toml"
                homes[home] = [key for _, keys in _tables(kind) for key in keys]
        for home, keys in homes.items():
            if key in keys:
                return f"unknown key here; it belongs {home}"
        for home, keys in homes.items():
            nearest = guess(key, keys)
            if nearest is not None:
                return f'unknown key; did you mean "{nearest}"? (it belongs {home})'
        return f"unknown key; known here: {', '.join(known)}"


def _unwrap(wanted: Any) -> tuple[Any, tuple[Meta, ...]]:
    """The type itself, without Annotated and without None (TOML has no null), and the limits that were on it."""
    metas: tuple[Meta, ...] = ()
    while True:
        if get_origin(wanted) is Annotated:
            metas += tuple(note for note in wanted.__metadata__ if isinstance(note, Meta))
            wanted = get_args(wanted)[0]
        elif get_origin(wanted) in (Union, types.UnionType):
            some = [part for part in get_args(wanted) if part is not type(None)]
            if len(some) != 1:
                return wanted, metas
            wanted = some[0]
        else:
            return wanted, metas


def _choices(plain: Any) -> list[str]:
    if get_origin(plain) is Literal:
        return [str(choice) for choice in get_args(plain)]
    if isinstance(plain, type) and issubclass(plain, Enum):
        return [str(member.value) for member in plain]
    return []


def _words(plain: Any) -> tuple[str, str]:
    """What a type is called, and an example of it."""
    return _EXPECTED.get(get_origin(plain) or plain, ("another kind of value", "..."))


def _not_what_was_wanted(value: object, wanted: Any, path: KeyPath) -> str:
    plain, metas = _unwrap(wanted)
    choices = _choices(plain)
    if choices:
        label = next((part for part in reversed(path) if isinstance(part, str)), "value")
        return choose(value, choices, label.replace("_", " "))
    expected, _ = _words(plain)
    low = high = None
    for meta in metas:
        if meta.description and (plain is str or meta.ge is None):
            expected = meta.description
        elif meta.pattern:
            expected = f"text of the form {meta.pattern}"
        low = meta.ge if meta.ge is not None else meta.min_length if meta.min_length is not None else low
        high = meta.le if meta.le is not None else meta.max_length if meta.max_length is not None else high
    unit = {str: " characters", list: " items"}.get(get_origin(plain) or plain, "")
    if low is not None and high is not None:
        expected += f" between {low:,} and {high:,}{unit}" + (as_share(value) if (low, high) == (0, 1) else "")
    elif low is not None:
        expected += f", at least {low:,}{unit}"
    elif high is not None:
        expected += f", at most {high:,}{unit}"
    quoted = isinstance(value, str) and plain in (int, float, bool, date, datetime, time)
    return f"expected {expected}" + (", without quotes" if quoted else "")


def as_share(value: object) -> str:
    """What to add about a number that is probably a percentage, where a share is wanted; "" for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 < value <= 100:
        return ""
    return f": {value:g} % is {value / 100:g}"


def _missing(key: str, wanted: Any, path: KeyPath) -> str:
    """How to add a key that has to be given."""
    plain, _ = _unwrap(wanted)
    home = ".".join(part for part in path if isinstance(part, str))
    full = f"{home}.{key}" if home else key
    if isinstance(plain, type) and issubclass(plain, Struct):
        return f"missing; add a table [{full}]"
    item = _unwrap(get_args(plain)[0])[0] if get_origin(plain) is list else None
    if isinstance(item, type) and issubclass(item, Struct):
        return f"missing; add at least one [[{full}]]"
    choices = _choices(plain)
    example = f'"{choices[0]}"' if choices else _words(plain)[1]
    return f"missing; add {key} = {example}"


def _tables(kind: type[Struct], path: KeyPath = ()) -> Iterable[tuple[KeyPath, list[str]]]:
    """All tables that a file of `kind` may hold, each with its keys."""
    fields = msgspec.structs.fields(kind)
    yield path, [field.encode_name for field in fields]
    for field in fields:
        plain, _ = _unwrap(field.type)
        is_list = get_origin(plain) is list
        inner = _unwrap(get_args(plain)[0])[0] if is_list else plain
        if isinstance(inner, type) and issubclass(inner, Struct):
            yield from _tables(inner, (*path, field.encode_name, *((0,) if is_list else ())))


def _home(path: KeyPath) -> str:
    if not path:
        return "the top of the file, before the first table"
    name = ".".join(part for part in path if isinstance(part, str))
    return f"[[{name}]]" if isinstance(path[-1], int) else f"[{name}]"


def _syntax_fault(path: Path, text: str, message: str) -> Fault:
    """tomllib's message with its line, the text that stands there, and what usually is the matter."""
    reason, _, place = message.partition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", place)
    rows = text.splitlines() or [""]
    line = int(found[1]) if found else len(rows)
    help_text = next((f"; {words}" for start, words in _SYNTAX_HELP if reason.startswith(start)), "")
    subject = rows[min(line, len(rows)) - 1].strip()[:60]
    return Fault(path, line, subject, f"not TOML ({reason[:1].lower()}{reason[1:]}){help_text}")
