"""Boards against the schema that Grafana publishes: made with npm at check time, kept in a folder that git ignores.

    @grafana/schema (TypeScript) -> ts-json-schema-generator -> JSON schemas -> jsonschema

One exception: `target` of an annotation may have more keys, as the schema knows only Grafana's own annotations there
and a data source puts its query in it. An override need not have what a whole field configuration must.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from caretaker_dashboards.describe import SCHEMA_NAMES
from caretaker_dashboards.panels import schema_name

PACKAGES = ("@grafana/schema@13.2.3", "ts-json-schema-generator@2.4.0", "typescript@5.9.3")
GENERATOR = Path(__file__).parent.parent / "schema" / "generate.mjs"
FOLDER = Path(__file__).parent.parent.parent / "build" / "grafana-schema"
"""Where it is made, in a checkout."""
INSTALL_S, GENERATE_S = 120, 60
Json = dict[str, Any]


class CannotCheck(Exception):
    """The schema cannot be made here; the text says why."""


def schemas(folder: Path = FOLDER) -> Json:
    """The schemas, by name; made once. CannotCheck: no npm, no Node, no package registry, or no checkout."""
    made = folder / "schemas.json"
    stamp = folder / "made-of.txt"
    of = "\n".join([*PACKAGES, GENERATOR.read_text() if GENERATOR.exists() else ""])
    if not (made.exists() and stamp.exists() and stamp.read_text() == of):
        _make(folder)
        stamp.write_text(of)
    found: Json = msgspec.json.decode(made.read_bytes())
    return found


def _make(folder: Path) -> None:
    if not GENERATOR.exists():
        raise CannotCheck(f"{GENERATOR} is missing: the schema is checked in a checkout only")
    for program in ("npm", "node"):
        if shutil.which(program) is None:
            raise CannotCheck(f"{program} is not installed: apt-get install nodejs npm")
    shutil.rmtree(folder, ignore_errors=True)  # of other versions, or half made
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}\n')
    quickly = ["--fetch-retries=1", "--fetch-timeout=30000"]  # where there is no network it should say so soon
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    _run(["npm", "install", *quiet, *quickly, *PACKAGES], folder, INSTALL_S)
    kinds = [name for name in SCHEMA_NAMES.values() if name != "text"]
    _run(["node", str(GENERATOR), *kinds, "text"], folder, GENERATE_S)


def _run(command: list[str], folder: Path, within_s: float) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired:
        raise CannotCheck(f"{command[0]} was not ready within {within_s:.0f} s") from None
    if done.returncode:
        raise CannotCheck(f"{' '.join(command[:2])} ended with {done.returncode}: {done.stderr.strip()[-600:]}")


def check(board: Json, known: Json) -> list[str]:
    """What of a board the schema refuses, a sentence each."""
    found = _errors(_relaxed(known["schemas"]["Dashboard"]), board, board["uid"])
    for panel in board["panels"]:
        place = f"{board['uid']}, panel {panel['id']} {panel['title']!r}"
        name = schema_name(panel["type"])
        found += _errors(known["schemas"][f"{name}Options"], panel["options"], f"{place} options")
        custom = panel.get("fieldConfig", {}).get("defaults", {}).get("custom", {})
        if f"{name}FieldConfig" in known["schemas"]:
            loose = _without_required(known["schemas"][f"{name}FieldConfig"])
            found += _errors(loose, custom, f"{place} custom")
            for override in panel["fieldConfig"]["overrides"]:
                own = {
                    each["id"].removeprefix("custom."): each["value"]
                    for each in override["properties"]
                    if each["id"].startswith("custom.")
                }
                found += _errors(loose, own, f"{place} {override['matcher']['options']}")
        elif custom:
            found.append(f"{place}: this kind of panel keeps nothing of its own in fieldConfig.custom")
    return found


def _errors(schema: Json, value: Any, place: str) -> list[str]:
    try:
        from jsonschema import Draft7Validator
    except ImportError:
        raise CannotCheck("the Python package jsonschema is not installed: pip install jsonschema") from None
    errors = sorted(Draft7Validator(schema).iter_errors(value), key=lambda error: list(map(str, error.path)))
    return [f"{place} {'/'.join(map(str, error.path))}: {error.message[:300]}" for error in errors]


def _relaxed(schema: Json) -> Json:
    """With the exception of the module's text."""
    definitions = {**schema["definitions"]}
    definitions["AnnotationTarget"] = {**definitions["AnnotationTarget"], "additionalProperties": True}
    return {**schema, "definitions": definitions}


def _without_required(schema: Json) -> Json:
    """An override says only what it changes."""
    definitions = {
        name: {key: value for key, value in each.items() if key != "required"} if name.endswith("FieldConfig") else each
        for name, each in schema["definitions"].items()
    }
    return {**schema, "definitions": definitions}
