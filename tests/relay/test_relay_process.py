"""`caretaker-relay run` as a process on a real mosquitto: from a signed command to a packet on the network."""

import asyncio
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiomqtt
import pytest

from caretaker_contract import signing
from caretaker_contract.messages import Command, Hello, Outcome, Report, Verb, decode
from caretaker_contract.topics import Address, Kind, parse, subscriptions
from caretaker_relay.packet import magic
from servers import Mosquitto

pytestmark = pytest.mark.slow
RELAY = Address("ash", "relay-1")
MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02"]


@contextmanager
def relaying(
    broker: Mosquitto, folder: Path, port: int, public: str, wake: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """The process, on a network that ends at this machine."""
    settings = folder / "relay.toml"
    settings.write_text(
        'school = "ash"\ndevice = "relay-1"\nroom = "servers"\ndevice_class = "server"\nstate_dir = "relay"\n'
        f'command_keys = ["{public}"]\n[broker]\nhost = "127.0.0.1"\nport = {broker.port}\n'
        f'[wake]\nbroadcast = "127.255.255.255"\nport = {port}\nstagger_ms = 50\n{wake}'
    )
    command = [sys.executable, "-m", "caretaker_relay", "run", "--config", str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)


class Desk:
    """What the collector would hear and say."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.heard: list[tuple[Kind, object]] = []

    async def until(self, what: object, within_s: float = 15.0) -> None:
        """Listen until `what()` holds."""
        async with asyncio.timeout(within_s):
            while not what():  # type: ignore[operator]
                message = await anext(self._client.messages)
                _, kind = parse(str(message.topic))
                if kind is not Kind.COMMAND:
                    self.heard.append((kind, decode(kind, bytes(message.payload))))

    def outcomes(self, command: str) -> list[tuple[str, str]]:
        """(step, reason) of one command."""
        found = [message for _, message in self.heard if isinstance(message, Outcome)]
        return [(each.step.value, each.reason.value) for each in found if each.command == command]

    async def say(self, payload: bytes) -> None:
        """Publish on the relay's command topic."""
        await self._client.publish(RELAY.topic(Kind.COMMAND), payload, qos=1)


def wake_command(macs: list[str], **more: object) -> Command:
    now_ms = int(time.time() * 1000)
    given = {"id": uuid.uuid4().hex, "device": str(RELAY), "verb": Verb.WAKE, "issued_ms": now_ms, "macs": macs}
    return Command(**{**given, "expires_ms": now_ms + 90_000, **more})


async def test_a_signed_wake_becomes_packets_and_outcomes_and_nothing_else_does(
    own_broker: Mosquitto, tmp_path: Path
) -> None:
    key, stranger = signing.new_key(), signing.new_key()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("", 0))
        ear.settimeout(0.3)
        async with aiomqtt.Client(own_broker.host, own_broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            for topic in subscriptions("ash"):
                await client.subscribe(topic, qos=1)
            desk = Desk(client)
            with relaying(own_broker, tmp_path, ear.getsockname()[1], signing.public_text(key)) as process:
                await desk.until(lambda: any(isinstance(each, Report) for _, each in desk.heard))
                (hello,) = [each for _, each in desk.heard if isinstance(each, Hello)]
                assert set(hello.abilities) == {Verb.WAKE, Verb.REPLAY, Verb.CANCEL}

                good = wake_command(MACS)
                await desk.say(signing.sign(good, key))
                await desk.until(lambda: len(desk.outcomes(good.id)) == 2)
                assert desk.outcomes(good.id) == [("received", "none"), ("done", "none")]
                assert [ear.recv(200) for _ in MACS] == [magic(mac) for mac in MACS]

                forged, late = wake_command(MACS), wake_command(MACS, issued_ms=1_000, expires_ms=91_000)
                empty, off = wake_command([]), wake_command([], verb=Verb.SHUT_DOWN)
                other = wake_command(MACS, device="ash/relay-2")
                await desk.say(signing.sign(forged, stranger))
                await desk.say(signing.sign(good, key))
                for command in (late, other, empty, off):
                    await desk.say(signing.sign(command, key))
                await desk.until(lambda: desk.outcomes(off.id))
                assert desk.outcomes(forged.id) == [("refused", "unknown_key")]
                assert desk.outcomes(good.id)[2:] == [("refused", "repeated")]
                assert desk.outcomes(late.id) == [("refused", "expired")]
                assert desk.outcomes(other.id) == [("refused", "wrong_target")]
                assert desk.outcomes(empty.id) == [("refused", "unable")], "an empty target set does nothing"
                assert desk.outcomes(off.id) == [("refused", "unable")], "nobody switches a relay off"
                with pytest.raises(TimeoutError):
                    ear.recv(200)

                many = wake_command([f"02:00:00:00:01:{number:02x}" for number in range(60)])
                await desk.say(signing.sign(many, key))
                await desk.until(lambda: desk.outcomes(many.id))
                process.terminate()
                await desk.until(lambda: len(desk.outcomes(many.id)) == 2)
                assert desk.outcomes(many.id)[1] == ("failed", "error"), "told to end, it says what it has not done"
            numbers = [each.seq for _, each in desk.heard if isinstance(each, Report | Outcome)]
            assert numbers == list(range(1, len(numbers) + 1)), "outcomes are numbered with the reports"
