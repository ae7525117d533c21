"""Small fleets and signed commands for the simulator's tests."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from nacl.signing import SigningKey

from caretaker_contract import signing
from caretaker_contract.messages import Command, Range, Verb
from caretaker_rules.model import Estate
from caretaker_simulator.estate import demo_estate
from caretaker_simulator.fleet import Fleet

London = ZoneInfo("Europe/London")
Moment = Callable[[str], int]


@pytest.fixture
def at() -> Moment:
    """UTC milliseconds of a local time in London, such as "2026-10-06 16:20"."""
    return lambda text: int(datetime.fromisoformat(text).replace(tzinfo=London).timestamp() * 1000)


@pytest.fixture
def oak() -> Estate:
    """The primary school alone: 50 machines."""
    estate = demo_estate()
    devices = {address: device for address, device in estate.devices.items() if address.school == "oak"}
    return msgspec.structs.replace(estate, schools={"oak": estate.schools["oak"]}, devices=devices)


@pytest.fixture
def key() -> SigningKey:
    """The collector's key."""
    return signing.new_key()


@pytest.fixture
def order(key: SigningKey) -> Callable[..., bytes]:
    """A signed command: order("ash/ict1-01", verb, now_ms, ...)."""
    made = 0

    def sign(
        device: str,
        verb: Verb,
        now_ms: int,
        *,
        warn_s: int = 120,
        idle_at_least_s: int = 0,
        ranges: list[Range] | None = None,
        macs: list[str] | None = None,
        by: SigningKey | None = None,
    ) -> bytes:
        nonlocal made
        made += 1
        command = Command(
            id=f"{made:032x}",
            device=device,
            verb=verb,
            issued_ms=now_ms,
            expires_ms=now_ms + 600_000,
            warn_s=warn_s,
            idle_at_least_s=idle_at_least_s,
            ranges=ranges or [],
            macs=macs or [],
        )
        return signing.sign(command, by or key)

    return sign


@pytest.fixture
def trained(key: SigningKey) -> Callable[..., Fleet]:
    """A fleet that trusts `key`."""
    return lambda estate, **options: Fleet(estate, public_keys=[signing.public_text(key)], **options)
