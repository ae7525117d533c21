"""The registry of channels: which adapter is for which kind, made from the settings with their secrets read.

One more kind: its file beside this one, its line in KINDS, its name in `alert_settings.Channel.kind`, and a target in
`tests/collector/notify/test_notifier_contract.py`.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from caretaker_collector.notify.by_apprise import ByApprise
from caretaker_collector.notify.by_file import ByFile
from caretaker_collector.notify.by_ticket import ByTicket
from caretaker_collector.notify.by_ticket_mail import ByTicketMail
from caretaker_collector.notify.by_webhook import ByWebhook, read_keys
from caretaker_collector.notify.desk import Desk
from caretaker_collector.notify.desk_presets import PRESETS
from caretaker_collector.notify.secret_files import first_line
from caretaker_contract.errors import ConfigError
from caretaker_rules.alert_settings import Channel
from caretaker_rules.ports import Notifier


class Surroundings(Struct, frozen=True):
    """What adapters need beside their settings."""

    db: sqlite3.Connection
    now_ms: Callable[[], int]  # the collector's


def _ticket(channel: Channel, around: Surroundings) -> Notifier:
    if channel.preset == "mail":
        return ByTicketMail(channel, url_of(channel))
    if channel.preset is None:
        raise _fault(channel, f"tickets need a preset: {', '.join(PRESETS)} or mail")
    preset = PRESETS[channel.preset]
    settings = {
        "queue": channel.queue,
        "requester": channel.requester,
        "token": _secret(channel, "token_file", channel.token_file),
        "app_token": _secret(channel, "app_token_file", channel.app_token_file) if channel.app_token_file else "",
    }
    for key in preset.needs:
        if not settings[key]:
            raise _fault(channel, f"{preset.title} needs {key}")
    return ByTicket(
        channel.name, Desk(preset, _http(channel), settings), around.db, around.now_ms, channel.close_on_recovery
    )


def _webhook(channel: Channel, around: Surroundings) -> Notifier:
    keys = read_keys(Path(channel.secret_file)) if channel.secret_file else []
    return ByWebhook(_http(channel), keys, world_s)


def _apprise(channel: Channel, around: Surroundings) -> Notifier:
    return ByApprise(channel, url_of(channel))


def _file(channel: Channel, around: Surroundings) -> Notifier:
    if not channel.path:
        raise _fault(channel, "a channel of kind file needs path")
    return ByFile(channel)


KINDS: dict[str, Callable[[Channel, Surroundings], Notifier]] = {
    "mail": _apprise,
    "teams": _apprise,
    "slack": _apprise,
    "webhook": _webhook,
    "ticket": _ticket,
    "file": _file,
}


def open_channels(channels: Sequence[Channel], around: Surroundings) -> dict[str, Notifier]:
    """The adapter of each channel, by name. Nothing is contacted. ConfigError with every fault of all of them."""
    faults: list[str] = []
    made: dict[str, Notifier] = {}
    for channel in channels:
        try:
            made[channel.name] = KINDS[channel.kind](channel, around)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return made


def url_of(channel: Channel) -> str:
    """The address, from the settings or from the first line of its file. ConfigError when there is none."""
    if channel.url_file:
        return _secret(channel, "url_file", channel.url_file)
    if not channel.url:
        raise _fault(channel, "needs url, or url_file where the address holds a secret")
    return channel.url


def world_s() -> int:
    """The world's time in seconds: what other machines compare with their own."""
    return int(time.time())  # noqa: TID251  the receiver's clock does not run on ours


def _http(channel: Channel) -> str:
    url = url_of(channel)
    if not url.startswith(("https://", "http://")):
        raise _fault(channel, "its address has to begin with https:// (or http:// within a network of your own)")
    return url


def _secret(channel: Channel, key: str, path: str | None) -> str:
    if not path:
        raise _fault(channel, f"needs {key}")
    return first_line(f"channel {channel.name}", key, path)


def _fault(channel: Channel, wrong: str) -> ConfigError:
    return ConfigError([f"channel {channel.name}  {wrong}"])
