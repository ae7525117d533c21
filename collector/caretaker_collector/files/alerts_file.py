"""Reads `alerts.toml`: what its declaration cannot say by itself, and its names against the estate that it is for.

Relative paths are taken from the file's own folder. Secrets stand in files that have to be there when it is read, so
that a mistyped path is found now and not with the first alert.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import available_timezones

import msgspec
from msgspec import Struct

from caretaker_collector.files.faults import choose, found_at
from caretaker_collector.files.kinds import KINDS
from caretaker_collector.files.toml_file import TomlFile, convert, open_toml
from caretaker_collector.files.toml_lines import KeyPath
from caretaker_collector.notify.desk_presets import PRESETS
from caretaker_rules.alert_settings import AlertsFile, Channel, Critical, Important, Info, ms
from caretaker_rules.alert_steps.quiet import WEEK_MS, quiet_until
from caretaker_rules.calendar import parse_span, zone_of
from caretaker_rules.durations import Duration
from caretaker_rules.model import Estate

_SECRETS = ("url_file", "token_file", "app_token_file", "secret_file")
_HTTP = ("http://", "https://")
_SHORTEST_HEARTBEAT_MS = 10_000


class AlertsText(NamedTuple):
    """Alert settings with the file that they came from; `alerts` is None when `file.faults` holds faults."""

    file: TomlFile
    alerts: AlertsFile | None


def read_alerts(path: Path) -> AlertsText:
    """Read and check. ConfigError only when the file is no TOML at all."""
    file = open_toml(path)
    written = convert(file, AlertsFile, KINDS)
    if written is None:
        return AlertsText(file, None)
    _check_texts(file, written, ())
    _check_names_within(file, written)
    _check_severities(file, written)
    for number, channel in enumerate(written.channels):
        _check_channel(file, ("channels", number), channel)
    _check_together(file, written)
    if not file.faults:
        _check_quiet(file, written)
    return AlertsText(file, None if file.faults else _resolved(path.parent, written))


def check_names(found: AlertsText, estate: Estate) -> None:
    """Note in `found.file.faults` the schools and networks that the estate does not have."""
    if found.alerts is None:
        return
    known = {"schools": sorted(estate.schools), "networks": sorted(estate.networks)}
    for table in ("routes", "escalations", "digests"):
        for number, item in enumerate(getattr(found.alerts, table)):
            for key, word in (("schools", "school"), ("networks", "network")):
                for place, name in enumerate(getattr(item, key) or ()):
                    if name not in known[key]:
                        found.file.fault((table, number, key, place), choose(name, known[key], word), name)


def _check_texts(file: TomlFile, table: Struct, key: KeyPath) -> None:
    """Every length of time and every span of hours in the file: their form is declared, not that they make sense."""
    for info in msgspec.structs.fields(table):
        value, place = getattr(table, info.name), (*key, info.encode_name)
        if isinstance(value, Struct):
            _check_texts(file, value, place)
        elif info.name in ("hours", "quiet"):
            spans = value if isinstance(value, list) else [value]
            for number, span in enumerate(spans):
                _try(file, (*place, number) if isinstance(value, list) else place, span, parse_span)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, Struct):
                    _check_texts(file, item, (*place, number))
        elif info.type is Duration:
            _try(file, place, value, ms)


def _try(file: TomlFile, key: KeyPath, text: str, read: Any) -> None:
    try:
        read(text)
    except ValueError as error:
        file.fault(key, str(error), text)


def _check_names_within(file: TomlFile, written: AlertsFile) -> None:
    """Channels and rotas that are named have to be declared; a rota names channels only."""
    channels = [channel.name for channel in written.channels]
    rotas = [rota.name for rota in written.rotas]
    for number, name in enumerate(rotas):
        if name in channels:
            file.fault(("rotas", number, "name"), "a channel has this name already; give the rota another", name)
    for key, name in _named(written):
        if name not in channels and name not in rotas:
            file.fault(key, choose(name, [*channels, *rotas], "channel"), name)
    for number, rota in enumerate(written.rotas):
        for place, span in enumerate(rota.on_call):
            if span.channel not in channels:
                file.fault(
                    ("rotas", number, "on_call", place, "channel"),
                    choose(span.channel, channels, "channel"),
                    span.channel,
                )
        if rota.otherwise is not None and rota.otherwise not in channels:
            file.fault(("rotas", number, "otherwise"), choose(rota.otherwise, channels, "channel"), rota.otherwise)


def _named(written: AlertsFile) -> Iterator[tuple[KeyPath, str]]:
    """Every name of a channel or rota, with its place."""
    for number, name in enumerate(written.default):
        yield ("default", number), name
    for table in ("routes", "digests"):
        for place, item in enumerate(getattr(written, table)):
            for number, name in enumerate(item.channels):
                yield (table, place, "channels", number), name
    for place, escalation in enumerate(written.escalations):
        for number, step in enumerate(escalation.steps):
            for last, name in enumerate(step.channels):
                yield ("escalations", place, "steps", number, "channels", last), name


def _check_severities(file: TomlFile, written: AlertsFile) -> None:
    """What stands under two severities cannot be meant. The graver one would win, even where it is only a default."""
    tables: dict[str, Critical | Important | Info] = {
        "critical": written.severities.critical,
        "important": written.severities.important,
        "info": written.severities.info,
    }
    given = file.data.get("severities", {})
    for key in ("kinds", "priorities"):
        seen: dict[object, str] = {}
        for name, table in tables.items():
            for number, item in enumerate(getattr(table, key)):
                if item in seen and key in given.get(name, {}):
                    by_default = "" if key in given.get(seen[item], {}) else f" by default: give its {key} too"
                    wrong = f"stands under {seen[item]} already{by_default}"
                    file.fault(("severities", name, key, number), wrong, item)
                seen.setdefault(item, name)


def _check_channel(file: TomlFile, key: KeyPath, channel: Channel) -> None:
    """What each kind of channel needs."""
    needs_url = channel.kind != "file"
    if channel.kind == "file" and channel.path is None:
        file.fault((*key, "path"), 'missing; kind = "file" needs path = "..."')
    if channel.url and channel.url_file:
        file.fault((*key, "url_file"), "url is given too: give one of them", channel.url_file)
    elif needs_url and not channel.url and not channel.url_file:
        file.fault((*key, "url"), f'missing; kind = "{channel.kind}" needs url = "..." (or url_file)')
    web = channel.kind == "webhook" or (channel.kind == "ticket" and channel.preset != "mail")
    if web and channel.url and not channel.url.startswith(_HTTP):
        file.fault((*key, "url"), "expected an address that begins with https:// or http://", channel.url)
    elif needs_url and not web and channel.url and "://" not in channel.url:
        file.fault(
            (*key, "url"), "expected an address such as mailtos://..., workflows://... or slack://...", channel.url
        )
    if channel.kind == "ticket" and channel.preset is None:
        file.fault((*key, "preset"), 'missing; add preset = "zammad", "glpi", "freshservice" or "mail"')
    preset = PRESETS.get(channel.preset or "")
    for name in ("token_file", *preset.needs) if preset is not None and channel.kind == "ticket" else ():
        if not getattr(channel, name):
            file.fault((*key, name), f'missing; {preset.title if preset else ""} needs {name} = "..."')
    if channel.app_token_file is not None and channel.preset != "glpi":
        file.fault((*key, "app_token_file"), 'only preset = "glpi" has one: leave it out', channel.app_token_file)
    if channel.kind == "webhook" and channel.secret_file is None:
        file.fault((*key, "secret_file"), "missing; the receiver tells by it that a message is ours")
    mail = channel.kind == "mail" or channel.preset == "mail"
    if mail and not channel.to:
        file.fault((*key, "to"), 'missing; add to = ["..."]')
    for name, belongs in (
        ("preset", channel.kind == "ticket"),
        ("token_file", channel.kind == "ticket"),
        ("secret_file", channel.kind == "webhook"),
        ("path", channel.kind == "file"),
    ):
        value = getattr(channel, name)
        if value is not None and not belongs:
            file.fault((*key, name), f'says nothing with kind = "{channel.kind}": leave it out', value)
    for name in _SECRETS:
        _check_there(file, (*key, name), getattr(channel, name))


def _check_there(file: TomlFile, key: KeyPath, written: str | None) -> None:
    if written is not None and not (path := file.path.parent / written).is_file():
        file.fault(key, f"no such file{found_at(path, written)}", written)


def _check_together(file: TomlFile, written: AlertsFile) -> None:
    """What only two keys together can get wrong."""
    zones = available_timezones()
    if written.time_zone not in zones:
        file.fault(("time_zone",), choose(written.time_zone, sorted(zones), "time zone"), written.time_zone)
    find = written.find
    if find.disk_free_again_ratio > find.disk_full_ratio:
        given = file.data.get("find", {})
        key = "disk_free_again_ratio" if "disk_free_again_ratio" in given else "disk_full_ratio"
        wrong = f"full from {find.disk_full_ratio} on, all right again below {find.disk_free_again_ratio}: give both"
        file.fault(("find", key), wrong, getattr(find, key))
    for number, escalation in enumerate(written.escalations):
        for place, step in enumerate(escalation.steps):
            if step.when != "unacknowledged" and step.after != "0 s":
                home: KeyPath = ("escalations", number, "steps", place, "after")
                file.fault(home, 'only when = "unacknowledged" waits; a clock has its own time', step.after)
    beat = written.heartbeat
    if beat is None:
        return
    if bool(beat.url) == bool(beat.url_file):
        file.fault(("heartbeat", "url"), "give url or url_file, one of them")
    elif beat.url and not beat.url.startswith(_HTTP):
        file.fault(("heartbeat", "url"), "expected an address that begins with https:// or http://", beat.url)
    _check_there(file, ("heartbeat", "url_file"), beat.url_file)
    if _too_short(beat.every):
        file.fault(("heartbeat", "every"), "at least 10 s", beat.every)


def _too_short(every: str) -> bool:
    try:
        return ms(every) < _SHORTEST_HEARTBEAT_MS
    except ValueError:
        return False  # said already


def _check_quiet(file: TomlFile, written: AlertsFile) -> None:
    """Quiet hours that never end would keep what is important for ever."""
    zone = zone_of(written.time_zone)
    for number, channel in enumerate(written.channels):
        # Any moment will do: what has no end for a week from it has none at all.
        until_ms = quiet_until(channel.quiet, 0, zone)
        if until_ms is not None and until_ms >= WEEK_MS:
            file.fault(("channels", number, "quiet"), "these hours never end, so nothing would ever be told")


def _resolved(folder: Path, written: AlertsFile) -> AlertsFile:
    """The settings with their paths made whole."""

    def whole(item: Struct, names: Sequence[str]) -> Any:
        values = {name: value for name in names if (value := getattr(item, name)) is not None}
        return msgspec.structs.replace(item, **{name: str(folder / value) for name, value in values.items()})

    return msgspec.structs.replace(
        written,
        channels=[whole(channel, (*_SECRETS, "path")) for channel in written.channels],
        heartbeat=whole(written.heartbeat, ("url_file",)) if written.heartbeat else None,
    )
