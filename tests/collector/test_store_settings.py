"""The [store] table: what it opens, and every fault at once with its remedy."""

from pathlib import Path

import msgspec
import pytest

from caretaker_collector.stores import StoreSettings, open_store
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.errors import ConfigError
from caretaker_contract.metrics import Point

POINT = Point("device", 1, ("ash", "ict1", "desktop", "pc-1"), {"state": "idle"})


async def test_without_settings_it_is_sqlite_in_store_db_beside_the_settings_file(tmp_path: Path) -> None:
    store = open_store(StoreSettings(), tmp_path)
    assert isinstance(store, SqliteStore)
    await store.write([POINT])
    await store.close()
    assert (tmp_path / "store.db").exists()


async def test_an_absolute_path_is_taken_as_it_stands(tmp_path: Path) -> None:
    store = open_store(StoreSettings(path=str(tmp_path / "a.db")), Path("/nonexistent"))
    await store.write([POINT])
    await store.close()
    assert (tmp_path / "a.db").exists()


def test_all_faults_of_an_influx_store_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(StoreSettings(kind="influx", url="influx.example:8086"), Path())
    assert caught.value.faults == [
        "store.token_file is missing: kind 'influx' needs it",
        "store.org is missing: kind 'influx' needs it",
        "store.bucket is missing: kind 'influx' needs it",
        "store.url 'influx.example:8086' is not an address such as 'https://influx.example:8086'",
    ]


@pytest.mark.parametrize("content", [b"", b"\n", "tokén".encode(), b"two\nlines", b"\xff"])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match=r"store\.token_file .*/token .*write InfluxDB's token into it"):
        open_store(
            StoreSettings(kind="influx", url="http://localhost:1", token_file="token", org="o", bucket="b"), tmp_path
        )


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"token_file .*/none cannot be read"):
        open_store(
            StoreSettings(kind="influx", url="http://localhost:1", token_file="none", org="o", bucket="b"), tmp_path
        )


def test_a_token_cannot_stand_in_the_settings() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `token`"):
        msgspec.convert({"kind": "influx", "token": "secret"}, StoreSettings)
