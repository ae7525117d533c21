"""agent.toml: one declaration is the parser, the defaults and the documentation.

`load` gathers every mistake of the file, each with its line, key and remedy, and raises them together.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Name, Slug, StaySeconds

PublicKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Port = Annotated[int, Meta(ge=1, le=65_535)]
File = Annotated[str, Meta(min_length=1)]
S = TypeVar("S", bound=Struct)


class Broker(Struct, frozen=True, forbid_unknown_fields=True):
    """[broker]: where reports go. With `ca`, the connection is encrypted and the broker has to prove itself."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")]
    port: Port = 1883
    ca: File | None = None  # certificates of the authority that signed the broker's
    certificate: File | None = None  # this machine's own, where the broker asks for one
    key: File | None = None
    username: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    password_file: File | None = None


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """agent.toml. Seconds and bytes as named."""

    school: Name
    device: Name
    room: Name
    device_class: Slug
    broker: Broker
    state_dir: File = "/var/lib/caretaker-agent"
    command_keys: Annotated[list[PublicKey], Meta(max_length=100)] = field(
        default_factory=list
    )  # who may command; empty: nobody
    heartbeat_s: Annotated[int, Meta(ge=1, le=86_400)] = 300
    idle_after_s: Annotated[int, Meta(ge=10, le=86_400)] = 300  # without input for so long: idle
    poll_s: Annotated[int, Meta(ge=1, le=300)] = 15  # how often the machine is looked at
    allow_power_off: bool = False  # false: go through every command, and switch nothing
    stay_s: StaySeconds = 3600  # how long `caretaker-agent still-here` asks the room to be kept on
    outbox_max_bytes: Annotated[int, Meta(ge=65_536, le=2**33)] = 8 * 2**20


G = TypeVar("G", bound=Settings)
_REMEDIES = {
    "school": "use a-z, 0-9 and hyphens, 63 at most, as in the asset register",
    "device": "use a-z, 0-9 and hyphens, 63 at most, as in the asset register",
    "room": "use a-z, 0-9 and hyphens, 63 at most, as in the asset register",
    "device_class": "use the class of the asset register, such as desktop or thin_client",
    "broker": "add a table [broker] with at least host",
    "broker.host": "give the broker's host name or address",
    "command_keys": "paste public keys of 64 hex digits, as `caretaker keys` prints them",
}


def load(path: Path) -> Settings:
    """Read and check a settings file; ConfigError holds every mistake at once."""
    return load_as(path, Settings)


def load_as(path: Path, shape: type[G]) -> G:
    """The same for settings that are built upon the agent's."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; copy the sample of the README there"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    return parse_as(text, path, shape)


def parse(text: str, path: Path) -> Settings:
    """The settings in `text`; `path` is named in mistakes, and relative files are looked for beside it."""
    return parse_as(text, path, Settings)


def parse_as(text: str, path: Path, shape: type[G]) -> G:
    """The same for settings that are built upon the agent's."""
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from None
    faults: list[str] = []
    broker_table = table.pop("broker", None)
    broker = None
    if isinstance(broker_table, dict):
        broker = _read(Broker, broker_table, "broker.", text, path, faults)
    elif broker_table is not None:
        faults.append(_fault(path, text, "broker", "must be a table"))
    settings = _read(shape, table, "", text, path, faults, broker=broker, has_broker=broker_table is not None)
    if broker is not None:
        faults += _together(broker, path, text)
    if faults or settings is None or broker is None:
        raise ConfigError(faults)
    return settings


def address(settings: Settings) -> str:
    """school/device, as commands name this machine."""
    return f"{settings.school}/{settings.device}"


def beside(path: Path, settings: G) -> G:
    """The same settings with every relative file taken from the settings file's own folder."""

    def absolute(name: str | None) -> str | None:
        return None if name is None else str(path.parent / name)

    broker = settings.broker
    files = {key: absolute(getattr(broker, key)) for key in ("ca", "certificate", "key", "password_file")}
    return msgspec.structs.replace(
        settings,
        state_dir=absolute(settings.state_dir) or settings.state_dir,
        broker=msgspec.structs.replace(broker, **files),
    )


def _read(
    shape: type[S],
    table: Mapping[str, Any],
    prefix: str,
    text: str,
    path: Path,
    faults: list[str],
    broker: Broker | None = None,
    has_broker: bool = False,
) -> S | None:
    hints = get_type_hints(shape, include_extras=True)
    values: dict[str, Any] = {} if broker is None else {"broker": broker}
    before = len(faults)
    for key, value in table.items():
        if key not in hints or key == "broker":
            faults.append(_fault(path, text, prefix + key, f"unknown key; {_guess(key, hints)}"))
            continue
        try:
            values[key] = msgspec.convert(value, hints[key])
        except msgspec.ValidationError as error:
            faults.append(_fault(path, text, prefix + key, str(error)))
    faults += [
        _fault(path, "", prefix + info.name, "is missing")
        for info in msgspec.structs.fields(shape)
        if info.required and info.name not in table and not (info.name == "broker" and has_broker)
    ]
    if len(faults) > before or (issubclass(shape, Settings) and broker is None):
        return None
    return shape(**values)


def _together(broker: Broker, path: Path, text: str) -> list[str]:
    """What only two keys together can get wrong."""
    faults = []
    if (broker.certificate is None) != (broker.key is None):
        faults.append(_fault(path, text, "broker.certificate", "certificate and key go together; give both or neither"))
    if broker.certificate is not None and broker.ca is None:
        faults.append(_fault(path, text, "broker.certificate", "without ca nothing is encrypted; add ca"))
    if broker.password_file is not None and broker.username is None:
        faults.append(_fault(path, text, "broker.password_file", "has no username beside it; add username"))
    for key in ("ca", "certificate", "key", "password_file"):
        name = getattr(broker, key)
        if name is not None and not (path.parent / name).is_file():
            faults.append(_fault(path, text, f"broker.{key}", f"no such file: {name}; give a path that exists"))
    return faults


def _fault(path: Path, text: str, key: str, what: str) -> str:
    line = _line(text, key)
    place = f"{path}:{line}" if line else str(path)
    remedy = _REMEDIES.get(key, "")
    return f"{place}: {key}: {what}" + (f"; {remedy}" if remedy and "unknown key" not in what else "")


def _line(text: str, key: str) -> int:
    """The line on which `key` stands, 0 when it is not found (an inline table, for instance)."""
    table, _, name = key.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([\w.-]+)\s*\]", line)
        if header:
            current = header.group(1)
            if current == key:
                return number
        elif current == table and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", line):
            return number
    return 0


def _guess(key: str, known: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
