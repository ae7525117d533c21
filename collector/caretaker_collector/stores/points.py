"""What can be stored at all: the same checks for every store, made from the table of metrics.

A store calls `shape_of(point)` (cheap: one look-up, because nearly all points of a run have the same few shapes) and
then `fault_of(point, shape)`; what has no fault can be written by every adapter, and reads back as it was given, except
that an empty tag and a missing one are the same thing and a whole number in a float field comes back as a float.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from caretaker_contract.metrics import MEASUREMENTS, TAGS, FieldType, FieldValue, Point

MAX_TEXT: Final = 16_000
"""Characters of a text field or tag. InfluxDB refuses beyond 64 kB (its documentation, "Line protocol", limits)."""
_INT64: Final = 2**63
_MAX_SHAPES: Final = 4096
_BAD_TAG = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
"""Characters that line protocol cannot carry in a tag (control characters, a backslash) or that are not text at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What points with the same measurement, fields and types of values have in common."""

    fault: str  # why none of them can be stored; "" when they can
    types: tuple[FieldType, ...]  # as declared, in the order of the fields
    floats: tuple[str, ...]
    ints: tuple[str, ...]  # given as int, also where a float is declared
    texts: tuple[str, ...]


_shapes: dict[tuple[str, tuple[str, ...], tuple[type, ...]], Shape] = {}


def shape_of(point: Point) -> Shape:
    """The shape of a point, from a cache."""
    fields = point.fields
    key = (point.measurement, tuple(fields), tuple(map(type, fields.values())))
    shape = _shapes.get(key)
    if shape is None:
        if len(_shapes) >= _MAX_SHAPES:  # only a fault makes that many; a cache must not become the leak
            _shapes.clear()
        shape = _shapes[key] = _new_shape(*key)
    return shape


def _new_shape(measurement: str, names: tuple[str, ...], types: tuple[type, ...]) -> Shape:
    metrics = MEASUREMENTS.get(measurement)
    if metrics is None:
        return Shape(f"no measurement {measurement!r} in the table of metrics", (), (), (), ())
    declared = {metric.name: metric.type for metric in metrics}
    for name, given in zip(names, types, strict=True):
        if name not in declared:
            return Shape(f"no field {name!r} of {measurement} in the table of metrics", (), (), (), ())
        if not _fits(declared[name], given):
            return Shape(f"field {name} of {measurement} is {declared[name]}, not {given.__name__}", (), (), (), ())
    if metrics[0].name not in names:
        return Shape(f"field {metrics[0].name} of {measurement} is missing: every point needs it", (), (), (), ())
    return Shape(
        "",
        tuple(declared[name] for name in names),
        tuple(name for name in names if declared[name] == "float"),
        tuple(name for name, given in zip(names, types, strict=True) if given is int),
        tuple(name for name in names if declared[name] == "str"),
    )


def _fits(declared: FieldType, given: type) -> bool:
    if declared == "float":
        return given in (float, int)
    if declared == "str":
        return issubclass(given, str)  # an enum's member too
    return given is (bool if declared == "bool" else int)


def fault_of(point: Point, shape: Shape) -> str:
    """Why this point can never be stored, "" when it can."""
    if shape.fault:
        return shape.fault
    fields = point.fields
    for name in shape.ints:
        if not -_INT64 <= fields[name] < _INT64:  # type: ignore[operator]
            return f"field {name} does not fit into 64 bits"
    for name in shape.floats:
        if not isfinite(fields[name]):  # type: ignore[arg-type]  # the shape says so
            return f"field {name} is {fields[name]}, not a number that can be stored"
    for name in shape.texts:
        if fault := _text_fault(fields[name]):
            return f"field {name} {fault}"
    tags = point.tags
    if len(tags) != len(TAGS):
        return f"{len(tags)} tags given, {len(TAGS)} needed: {', '.join(TAGS)}"
    joined = "".join(tags)
    if len(joined) > MAX_TEXT:
        return f"tags are longer than {MAX_TEXT} characters together"
    if _BAD_TAG.search(joined):
        return f"tags {tags!r} hold a control character, a backslash or a broken character"
    if not 1 - _INT64 < point.time_ns < _INT64 - 1:  # the very ends are used by InfluxDB itself
        return f"time {point.time_ns} ns does not fit into 64 bits"
    return ""


def _text_fault(value: FieldValue) -> str:
    assert isinstance(value, str)
    if len(value) > MAX_TEXT:
        return f"is longer than {MAX_TEXT} characters"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds a broken character"
    return ""


def window_ns(start_ms: int, end_ms: int) -> tuple[int, int]:
    """start <= time < end in nanoseconds, cut to what 64 bits hold."""
    bound = _INT64 - 1
    return max(1 - bound, start_ms * 1_000_000), min(bound, end_ms * 1_000_000)


def check_sums(measurement: str, fields: Sequence[str], by: Sequence[str]) -> None:
    """ValueError when these fields cannot be added up by these tags: a mistake of ours, the same in every store."""
    numbers = {metric.name for metric in MEASUREMENTS[measurement] if metric.type in ("int", "float")}
    if not fields or (wrong := set(fields) - numbers):
        raise ValueError(f"no sums of {measurement} over {sorted(wrong) if fields else 'nothing'}: no such numbers")
    if wrong := set(by) - set(TAGS):
        raise ValueError(f"no tags {sorted(wrong)}; there are {', '.join(TAGS)}")
