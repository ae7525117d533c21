"""Stores behind the port `caretaker_rules.ports.Store`: an adapter a file, chosen by `kind`; see README.md."""

from pathlib import Path
from urllib.parse import urlsplit

from caretaker_collector.stores.settings import StoreSettings
from caretaker_contract.errors import ConfigError
from caretaker_rules.ports import Store

__all__ = ["StoreSettings", "open_store"]


def open_store(settings: StoreSettings, base: Path) -> Store:
    """The store that `settings` describe; paths in them are relative to `base`, the folder of the settings file.

    Opens no file or connection of the store's own yet, so a store that is down shows at the first call, as Unavailable.
    Raises ConfigError with every fault of the settings.
    """
    if settings.kind == "sqlite":
        from caretaker_collector.stores.sqlite import SqliteStore

        if not settings.path:
            raise ConfigError(["store.path is empty: give the database file, such as 'store.db'"])
        return SqliteStore(base / settings.path)
    token = _influx_token(settings, base)
    # Imported here because influxdb-client takes 2 s and 56 MB to load, which a school with SQLite need not pay.
    from caretaker_collector.stores.influx import InfluxStore

    return InfluxStore(settings.url, token, settings.org, settings.bucket, settings.timeout_s)


def _influx_token(settings: StoreSettings, base: Path) -> str:
    """Check what kind "influx" needs and read its token."""
    faults = [
        f"store.{key} is missing: kind 'influx' needs it"
        for key in ("url", "token_file", "org", "bucket")
        if not getattr(settings, key)
    ]
    if settings.url and (urlsplit(settings.url).scheme not in ("http", "https") or not urlsplit(settings.url).hostname):
        faults.append(f"store.url {settings.url!r} is not an address such as 'https://influx.example:8086'")
    token = ""
    if settings.token_file:
        path = base / settings.token_file
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"store.token_file {path} cannot be read ({error}): write InfluxDB's token into it")
        else:
            if not token or not token.isascii() or not token.isprintable():
                faults.append(f"store.token_file {path} holds no token: write InfluxDB's token into it, on one line")
    if faults:
        raise ConfigError(faults)
    return token
