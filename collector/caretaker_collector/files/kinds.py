"""Every kind of TOML file that people write, and `collector.toml`'s own declaration.

A declaration *is* the parser: keys, types, limits and defaults come from it. A field without a default must be given.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from caretaker_agent import settings as agent
from caretaker_collector.stores.settings import StoreSettings
from caretaker_contract.messages import Name
from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.durations import Duration
from caretaker_rules.model import EstateFile, Written
from caretaker_rules.policy import PolicyFile
from caretaker_rules.presence import PresenceSettings
from caretaker_rules.service import ServiceFile

Port = Annotated[int, Meta(ge=1, le=65_535)]
File = Annotated[str, Meta(min_length=1)]


class BrokerSettings(Written, frozen=True, kw_only=True):
    """[broker]: where messages come from. With `ca`, the connection is encrypted and the broker has to prove itself."""

    host: Annotated[str, Meta(min_length=1, max_length=253)] = "127.0.0.1"
    port: Port = 1883
    ca_file: File | None = field(name="ca", default=None)  # certificates of the authority that signed the broker's
    certificate_file: File | None = field(name="certificate", default=None)  # our own, where the broker asks for one
    key_file: File | None = field(name="key", default=None)
    username: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    password_file: File | None = None  # its first line is the password
    client_id: Annotated[str, Meta(min_length=1, max_length=60)] = "caretaker-collector"


class HttpSettings(Written, frozen=True, kw_only=True):
    """Where /healthz and /metrics are served, and the pages of `caretaker stay-link`."""

    host: str = "127.0.0.1"
    port: Port = 8600
    stay_links: bool = False  # true: whoever has a room's link may keep the room on
    stay_for: Duration = "1 h"  # for so long


class DeskSettings(Written, frozen=True, kw_only=True):
    """[desk]: the pages on which people act, and who may sign in to them (`caretaker account new`)."""

    on: bool = True
    address: Annotated[str, Meta(max_length=300)] = ""  # how people reach it: https://NAME; "": [http] itself
    hosts: tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...] = ()  # other names by which they do
    # [http] listens beyond loopback, and nobody comes to it in plain from the network: a web server or the published
    # port of a container stands between.
    behind_proxy: bool = False
    # A computer in a school's office is left alone without being locked; half an hour is about a break.
    session_idle: Duration = "30 min"
    session_at_most: Duration = "12 h"  # one working day, however busy
    # In which a web server in front names who has signed in, such as X-Remote-User; "": none is believed
    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{0,60}$")] = ""
    proxies: tuple[Annotated[str, Meta(max_length=45)], ...] = ()  # addresses of those that may send it
    public_school_pages: tuple[Name, ...] = ()  # schools whose page /s/SCHOOL anybody may read


class JournalSettings(Written, frozen=True, kw_only=True):
    """How long messages are kept for replay, and how long a commit gathers them (milliseconds)."""

    keep_days: Annotated[int, Meta(ge=1, le=3660)] = 35
    commit_ms: Annotated[int, Meta(ge=1, le=1000)] = 20


class SigningSettings(Written, frozen=True, kw_only=True):
    """The private key that commands are signed with: 64 hex digits in a file that only the collector can read."""

    key_file: File


class CollectorSettings(Written, frozen=True, kw_only=True):
    """`collector.toml`, as written. Without [signing] the collector decides and records, but commands nothing."""

    estate: File
    data: File  # folder for journal.db, state.db and the SQLite store
    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    presence: PresenceSettings = PresenceSettings()
    http: HttpSettings = HttpSettings()
    desk: DeskSettings = DeskSettings()
    journal: JournalSettings = JournalSettings()
    signing: SigningSettings | None = None
    alerts: File | None = None  # alerts.toml; None: incidents are recorded, and nobody is told
    tick_s: Annotated[float, Meta(ge=0.1, le=3600)] = 30.0  # how often rules are asked, on the collector's clock


KINDS: dict[str, type[Struct]] = {
    "estate": EstateFile,
    "collector": CollectorSettings,
    "policy": PolicyFile,
    "agent": agent.Settings,
    "service": ServiceFile,
    "alerts": AlertsFile,
}
"""Every kind of TOML file that Caretaker reads."""
