"""The [store] table of collector.toml."""

from typing import Annotated, Literal

from msgspec import Meta

from caretaker_rules.model import Written


class StoreSettings(Written, frozen=True, kw_only=True):
    """Which store, and where. The token is only ever named by its file, so that a settings file can be shown around."""

    kind: Literal["sqlite", "influx"] = "sqlite"
    path: str = "store.db"  # sqlite: the database file
    url: str = ""  # influx: such as "https://influx.example:8086"
    token_file: str = ""  # influx: file with the token on one line
    org: str = ""  # influx: organisation; versions 1 and 3 ignore it, give any word
    bucket: str = ""  # influx: bucket; on 1.8 and 3 the database's name
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 10.0  # influx: how long one request may take
