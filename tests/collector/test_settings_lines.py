"""Lines of keys in TOML text: right for every way of writing a value, and never an error."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caretaker_collector.files.toml_lines import locate, show

TEXT = '''# a comment with = and [brackets]
plain = 1
"quoted.key" = 2
dotted.inner.deep = 3   # [not.a.table]
text = "a # no comment, \\" no end"
long = """
[fake]
key = 1
"""
literal = \'\'\'
x = 2\'\'\'
many = [
  "one",   # first
  [2, 3],
  { a = 1, b = [ 4 ] },
]
inline = { x = 1, "y z" = { deep = 2 } }

[table]
key = true

[table.sub."with.dot"]
key = 1979-05-27T07:32:00Z

[[list]]
name = "a"
[[list.inner]]
name = "aa"
[list.inner.more]
key = 1
[[list.inner]]
name = "ab"

[[list]]
name = "b"
  [[list.inner]]
  name = "ba"
'''
EXPECTED = {
    ("plain",): 2,
    ("quoted.key",): 3,
    ("dotted",): 4,
    ("dotted", "inner", "deep"): 4,
    ("text",): 5,
    ("long",): 6,
    ("literal",): 10,
    ("many", 0): 13,
    ("many", 1, 1): 14,
    ("many", 2, "b", 0): 15,
    ("inline", "y z", "deep"): 17,
    ("table",): 19,
    ("table", "key"): 20,
    ("table", "sub", "with.dot", "key"): 23,
    ("list",): 25,
    ("list", 0): 25,
    ("list", 0, "name"): 26,
    ("list", 0, "inner", 0, "name"): 28,
    ("list", 0, "inner", 0, "more", "key"): 30,
    ("list", 0, "inner", 1): 31,
    ("list", 1, "name"): 35,
    ("list", 1, "inner", 0, "name"): 37,
}


def paths(value: object, path: tuple = ()) -> list[tuple]:
    """All paths of parsed data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in items for deeper in paths(item, (*path, key)))]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_each_key_has_the_line_on_which_it_stands(ends: str) -> None:
    lines = locate(TEXT.replace("\n", ends))
    assert {path: lines.of(path) for path in EXPECTED} == EXPECTED


def test_a_key_that_is_not_there_has_the_line_of_its_table() -> None:
    lines = locate(TEXT)
    assert lines.of(("list", 1, "missing")) == 34
    assert lines.of(("missing",)) == 1


def test_every_path_of_the_data_is_known() -> None:
    lines = locate(TEXT)
    assert [path for path in paths(tomllib.loads(TEXT)) if path and path not in lines._lines] == []


def test_a_path_is_shown_as_people_write_it() -> None:
    assert show(("schools", 1, "rooms", 0, "name")) == "schools[1].rooms[0].name"


@given(st.text(alphabet="ab.=[]{}\"'#,\n 1\\", max_size=60))
def test_whatever_tomllib_accepts_can_be_located_completely(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = locate(text)
    for path in paths(data):
        assert not path or path in lines._lines
        assert 1 <= lines.of(path) <= text.count("\n") + 1
