"""What an action asks for, read off its body; and from what somebody filled in back to a body."""

import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from caretaker_collector.acts.base import ActBody, Action, BadBody, Ctx
from caretaker_dashboards.desk.views import Field, Form

NOT_ASKED = frozenset({"place", "by"})
"""What a body has and a form does not: the page knows where it is, and the session who asks."""
_KINDS: dict[type[inspect.Type], str] = {
    inspect.IntType: "number",
    inspect.BoolType: "check",
    inspect.LiteralType: "choice",
}
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a line read otherwise than it is."""


@cache
def fields_of(body: type[ActBody]) -> tuple[Field, ...]:
    """The fields of a body, as its type says them, without values and choices."""
    described = inspect.type_info(body)
    assert isinstance(described, inspect.StructType)
    found = []
    for field in described.fields:
        if field.encode_name in NOT_ASKED:
            continue
        kind, words, extra = field.type, {}, {}
        if isinstance(kind, inspect.Metadata):
            words, extra, kind = kind.extra_json_schema or {}, kind.extra or {}, kind.type
        value = "" if field.default is msgspec.NODEFAULT else str(field.default)
        choices = [(str(one), str(one)) for one in kind.values] if isinstance(kind, inspect.LiteralType) else []
        found.append(
            Field(
                name=field.encode_name,
                label=str(words.get("title", field.encode_name)),
                kind=str(extra.get("kind", _KINDS.get(type(kind), "text"))),
                value=value,
                choices=choices,
                help=str(words.get("description", "")),
                required=field.required,
                longest=(kind.max_length or 200) if isinstance(kind, inspect.StrType) else 20,
            )
        )
    return tuple(found)


def form_of(action: Action, ctx: Ctx, filled: Mapping[str, str]) -> Form:
    """The form of an action at a place, filled in with `filled`, else with what is likely."""
    likely = action.defaults(ctx) if action.defaults is not None else {}
    fields = []
    for field in fields_of(action.body):
        choices = action.choices[field.name](ctx) if field.name in action.choices else field.choices
        if field.name in action.choices and not choices and not field.required:
            continue  # there is nothing to choose between
        value = filled.get(field.name) or likely.get(field.name) or field.value
        kind = "choice" if choices else field.kind
        if choices and field.required and value not in (name for name, _ in choices):
            # A browser would show the first one as chosen: nobody means that.
            choices, value = [("", "choose one"), *choices], ""
        fields.append(msgspec.structs.replace(field, value=value, choices=choices, kind=kind))
    explains = action.explains
    return Form(
        action=action.name,
        title=action.title.format(place=ctx.place.title),
        place=ctx.place.text,
        place_title=ctx.place.title,
        fields=fields,
        button=action.label,
        explains=explains[:1].upper() + explains[1:],
        danger=action.danger,
    )


def values_of(action: Action, place: str, filled: Mapping[str, str]) -> dict[str, Any]:
    """What somebody filled in, for `read`. What the form does not ask for, and what is empty, is left out."""
    asked = {field.name for field in fields_of(action.body)}
    values = {name: value.replace("\r\n", "\n").strip() for name, value in filled.items() if name in asked}
    return {**{name: value for name, value in values.items() if value}, "place": place}


STAND_IN = "..."


def stand_ins(action: Action) -> dict[str, str]:
    """A text for each that has to be typed: what is touched does not hang on it, so a preview need not wait."""
    return {
        field.name: STAND_IN
        for field in fields_of(action.body)
        if field.required and field.kind in ("text", "area") and field.name not in action.choices
    }


def read(action: Action, values: Mapping[str, Any], strict: bool = True) -> ActBody:
    """A body from JSON, or from a form (not `strict`). BadBody says what is missing or wrong, by name or by label."""
    tidy = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    try:
        return msgspec.convert(tidy, action.body, strict=strict)
    except msgspec.ValidationError as error:
        raise BadBody([_fault(action, str(error), by_label=not strict)]) from None


def _fault(action: Action, text: str, by_label: bool) -> str:
    """What is wrong with a value, for people."""
    message, _, path = text.partition(" - at `$")
    name = path.strip("`.").partition("[")[0]
    if message.startswith("Object missing required field"):
        name, message = message.split("`")[1], "is missing"
    elif message.startswith("Object contains unknown field"):
        known = ", ".join(["place", *(field.name for field in fields_of(action.body)), "by"])
        return f"{message.split('`')[1][:40]}  there is no such field; there are: {known}"
    elif message.startswith("Expected `str` of length >="):
        least = message.rsplit(" ", 1)[1]
        message = "is missing" if least == "1" else f"needs {least} characters at least"
    elif message.startswith("Expected `str` of length <="):
        message = f"is too long: {message.rsplit(' ', 1)[1]} characters at most"
    elif message.startswith("Expected `int` >=") or message.startswith("Expected `int` <="):
        message = f"has to be {'at least' if '>=' in message else 'at most'} {message.rsplit(' ', 1)[1]}"
    elif message.startswith("Expected `int`"):
        message = "has to be a whole number"
    elif message.startswith("Invalid enum value"):
        message = f"{message.removeprefix('Invalid enum value ')} is none of what there is"
    else:
        message = f"is not as described: {message}"
    field = next((field for field in fields_of(action.body) if field.name == name), None)
    return f"{field.label if field is not None and by_label else name or 'the body'}  {message}"


def check_texts(action: Action, body: ActBody) -> None:
    """BadBody when a text holds what cannot be shown, or is longer than its field: however it came."""
    faults = []
    for field in fields_of(action.body):
        value = getattr(body, f"{field.name}_" if field.name in ("from", "class") else field.name)
        if not isinstance(value, str):
            continue
        for character in value:
            if character in _BIDI or (unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"):
                faults.append(
                    f"{field.label}  holds a character that cannot be shown (U+{ord(character):04X}); take it out"
                )
                break
        if len(value) > field.longest:
            faults.append(f"{field.label}  is too long: {field.longest} characters at most")
    if faults:
        raise BadBody(faults)
