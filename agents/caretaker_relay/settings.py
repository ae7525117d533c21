"""relay.toml: everything of agent.toml, and a table [wake]."""

import socket
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from caretaker_agent import settings as agent
from caretaker_contract.errors import ConfigError
from caretaker_relay.packet import MAGIC_PORT

Interface = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,15}$")]


class WakeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """[wake]: how packets go out. A broadcast does not leave its network: one relay is needed for each."""

    broadcast: Annotated[str, Meta(pattern=r"^[0-9.]{7,15}$")] = "255.255.255.255"
    interface: Interface | None = None  # send through this one only; Linux
    port: Annotated[int, Meta(ge=1, le=65_535)] = MAGIC_PORT
    stagger_ms: Annotated[int, Meta(ge=0, le=10_000)] = 200  # between two machines, so that a room starts gently


class RelaySettings(agent.Settings, frozen=True, forbid_unknown_fields=True):
    """relay.toml. `device` is the relay's own row of the asset register; its class is always on: server, or relay."""

    state_dir: agent.File = "/var/lib/caretaker-relay"
    wake: WakeSettings = WakeSettings()


def load(path: Path) -> RelaySettings:
    """Read and check a settings file; ConfigError holds every mistake at once."""
    found = agent.load_as(path, RelaySettings)
    faults = []
    try:
        socket.inet_aton(found.wake.broadcast)
    except OSError:
        faults.append(f"{path}: wake.broadcast: {found.wake.broadcast} is no address; write one such as 10.20.30.255")
    if found.wake.interface is not None and not hasattr(socket, "SO_BINDTODEVICE"):
        faults.append(f"{path}: wake.interface: this system cannot choose one; give the network's broadcast address")
    elif found.wake.interface is not None and found.wake.interface not in {name for _, name in socket.if_nameindex()}:
        known = ", ".join(name for _, name in socket.if_nameindex())
        faults.append(f"{path}: wake.interface: no interface {found.wake.interface!r} here; there are: {known}")
    if not found.command_keys:
        faults.append(f"{path}: command_keys: is empty, so nobody may wake anything; paste what `caretaker key` prints")
    if faults:
        raise ConfigError(faults)
    return found
