"""Where each key of a TOML file stands: tomllib gives values without line numbers, and a fault needs its line.

The scanner reads text that tomllib has already accepted, so it need not judge anything; it only keeps count. A path is
what the value's place is in the parsed data, such as ("schools", 1, "rooms", 0, "name").
"""

import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Lines:
    """Line numbers (from 1) by path."""

    def __init__(self, lines: Mapping[KeyPath, int]) -> None:
        self._lines = lines

    def of(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest table around it that has one."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def locate(text: str) -> Lines:
    """Find the line of every table, key and list item in `text`, which must be valid TOML."""
    scanner = _Scanner(text)
    scanner.document()
    return Lines(scanner.lines)


def show(path: KeyPath) -> str:
    """A path as people write it: schools[1].rooms[0].name (the first item is 0)."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class _Scanner:
    """One pass over the text. `place` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.place = 0
        self.line = 1
        self.lines: dict[KeyPath, int] = {}
        self.items: dict[KeyPath, int] = {}  # how many [[tables]] of an array have been opened

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(" \t\n"):
            if self.text[self.place] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, blanks: str) -> bool:
        """Pass over blanks and comments; False at the end of the text."""
        while self.place < len(self.text):
            character = self.text[self.place]
            if character == "#":
                end = self.text.find("\n", self.place)
                self.place = len(self.text) if end < 0 else end
            elif character in blanks:
                self._take(1)
            else:
                return True
        return False

    def _take(self, count: int) -> str:
        taken = self.text[self.place : self.place + count]
        self.line += taken.count("\n")
        self.place += count
        return taken

    def _note(self, path: KeyPath, line: int) -> None:
        """Keep the line of a path, and of the tables that a dotted key makes on its way."""
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], line)

    def _header(self) -> KeyPath:
        """[table] or [[array of tables]]; a name on the way that is an array means its newest item."""
        line = self.line
        is_array = self.text.startswith("[[", self.place)
        self._take(2 if is_array else 1)
        keys = self._keys("]")
        self._take(2 if is_array else 1)
        path: KeyPath = ()
        for number, key in enumerate(keys, start=1):
            path = (*path, key)
            if number == len(keys) and is_array:
                self._note(path, line)
                self.items[path] = self.items.get(path, 0) + 1
            if path in self.items:
                path = (*path, self.items[path] - 1)
        self._note(path, line)
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self.line
        path = (*table, *self._keys("="))
        self._take(1)
        self._note(path, line)
        self._value(path)

    def _keys(self, end: str) -> list[str]:
        """A dotted key up to `end`, which stays."""
        keys = []
        while self._skip(" \t.") and self.text[self.place] != end:
            if self.text[self.place] in "\"'":
                # A quoted key may hold escapes: let tomllib read it.
                keys.append(next(iter(tomllib.loads(f"{self._string()} = 0"))))
            else:
                start = self.place
                while self.text[self.place] in _BARE:
                    self.place += 1
                keys.append(self.text[start : self.place])
        return keys

    def _string(self) -> str:
        quote = self.text[self.place]
        triple = quote * 3
        delimiter = triple if self.text.startswith(triple, self.place) else quote
        taken = self._take(len(delimiter))
        while not self.text.startswith(delimiter, self.place):
            taken += self._take(2 if quote == '"' and self.text[self.place] == "\\" else 1)
        taken += self._take(len(delimiter))
        # A triple-quoted text may itself end with one or two quotes.
        while delimiter == triple and self.text.startswith(quote, self.place):
            taken += self._take(1)
        return taken

    def _value(self, path: KeyPath) -> None:
        self._skip(" \t\n")
        character = self.text[self.place]
        if character in "\"'":
            self._string()
        elif character == "[":
            self._list(path)
        elif character == "{":
            self._take(1)
            while self._skip(" \t\n,") and self.text[self.place] != "}":
                self._pair(path)
            self._take(1)
        else:
            while self.place < len(self.text) and self.text[self.place] not in ",]}#\n":
                self._take(1)

    def _list(self, path: KeyPath) -> None:
        self._take(1)
        number = 0
        while self._skip(" \t\n,") and self.text[self.place] != "]":
            self._note((*path, number), self.line)
            self._value((*path, number))
            number += 1
        self._take(1)
