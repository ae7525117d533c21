"""A machine that a test moves by hand, an agent on it in a thread, and an ear at the broker."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from caretaker_agent.meters import Reading
from caretaker_agent.probe import Event, Look
from caretaker_agent.run import Agent
from caretaker_agent.settings import Broker, Settings
from caretaker_contract import messages, signing, topics
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Command, Message, Outcome, Report, Verb
from caretaker_contract.topics import Address, Kind
from servers import Mosquitto


class HandMachine:
    """A Platform whose every fact is an attribute."""

    os_text = "Test 1"
    mac = "02:00:00:00:00:01"
    abilities = frozenset(Verb) - {Verb.WAKE}

    def __init__(self) -> None:
        self.boot = "boot-1"
        self.input_age_s = 1000.0
        self.session: bool | None = True
        self.inhibited: bool | None = False
        self.start_s = time.monotonic()
        self.speed = 1.0
        self.awake_plus_s = 100.0
        self.asleep_s = 0.0
        self.stopping = False
        self.obeys = True
        self.acts: list[Verb] = []
        self.warnings: list[str] = []
        self.unwarned = 0
        self.held = False
        self.queue: list[Event] = []

    @property
    def input_age_s(self) -> float | None:
        """Seconds since the last input: grows by itself, as on any machine."""
        return None if self._input_s is None else time.monotonic() - self._input_s

    @input_age_s.setter
    def input_age_s(self, age_s: float | None) -> None:
        self._input_s = None if age_s is None else time.monotonic() - age_s

    def boot_id(self) -> str:
        return self.boot

    def clocks(self) -> Reading:
        awake_s = (time.monotonic() - self.start_s) * self.speed + self.awake_plus_s
        return Reading(awake_s, awake_s + self.asleep_s)

    def look(self, full: bool) -> Look:
        return Look(self.clocks(), self.input_age_s, self.session, self.inhibited, 0.25 if full else None)

    def uptime_s(self) -> int:
        return int(self.clocks().since_boot_s)

    def act(self, verb: Verb) -> bool:
        self.acts.append(verb)
        return self.obeys

    def warn(self, sentence: str, seconds: int) -> None:
        self.warnings.append(sentence)

    def unwarn(self) -> None:
        self.unwarned += 1

    def fileno(self) -> int | None:
        return None

    def events(self) -> list[Event]:
        told, self.queue = self.queue, []
        return told

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def going_down(self) -> bool:
        return self.stopping


class Ear:
    """Everything that reached the broker for one school, in order of arrival."""

    def __init__(self, port: int, school: str) -> None:
        self.heard: list[tuple[Kind, Message, bool]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, f"ear-{school}", protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe([(t, 1) for t in topics.subscriptions(school)])
        self._client.on_message = self._note
        listening = threading.Event()
        self._client.on_subscribe = lambda *_: listening.set()
        self._client.reconnect_delay_set(1, 1)
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 3600  # what arrives while this ear is away waits for it
        self._client.connect("127.0.0.1", port, clean_start=mqtt.MQTT_CLEAN_START_FIRST_ONLY, properties=kept)
        self._client.loop_start()
        assert listening.wait(10)

    def _note(self, client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        _, kind = topics.parse(message.topic)
        self.heard.append((kind, messages.decode(kind, message.payload), message.retain))

    def all(self, kind: Kind) -> list[Any]:
        return [message for of, message, _ in list(self.heard) if of is kind]

    @property
    def reports(self) -> list[Report]:
        return self.all(Kind.REPORT)

    @property
    def outcomes(self) -> list[Outcome]:
        return self.all(Kind.OUTCOME)

    @property
    def numbers(self) -> list[tuple[int, int]]:
        """(boot, seq) of every numbered message, in order of arrival."""
        return [message.key for _, message, _ in list(self.heard) if isinstance(message, Report | Outcome)]

    def steps(self, command_id: str) -> list[str]:
        """What became of a command, as "step" or "step/reason"."""
        return [
            outcome.step.value + ("" if outcome.reason == "none" else f"/{outcome.reason.value}")
            for outcome in self.outcomes
            if outcome.command == command_id
        ]

    def publish(self, address: Address, payload: bytes) -> None:
        self._client.publish(address.topic(Kind.COMMAND), payload, qos=1).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def until(what: Callable[[], Any], within_s: float = 15.0) -> Any:
    """Wait until it is true, and return it."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s:.0f} s")


class World:
    """One device with its settings, machine, key, agent and ear."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.folder = folder
        self.address = Address(f"s{uuid.uuid4().hex[:10]}", "pc-1")
        self.key = signing.new_key()
        self.machine = HandMachine()
        self.ear: Ear
        self.agent: Agent | None = None
        self._thread: threading.Thread | None = None
        self.options: dict[str, Any] = {"heartbeat_s": 3600, "poll_s": 1, "idle_after_s": 300}

    def settings(self) -> Settings:
        return Settings(
            school=self.address.school,
            device=self.address.device,
            room="ict1",
            device_class="desktop",
            broker=Broker(host="127.0.0.1", port=self.port),
            state_dir=str(self.folder / "state"),
            command_keys=[signing.public_text(self.key)],
            **self.options,
        )

    def listen(self) -> None:
        self.ear = Ear(self.port, self.address.school)

    def start(self, speed: float = 1.0) -> None:
        """An agent in a thread, on a timeline that runs `speed` times as fast as the world."""
        self.machine.speed = speed
        self.agent = Agent(self.settings(), self.machine, Clock(time.time(), time.time(), speed))
        self._thread = threading.Thread(target=self.agent.run, kwargs={"signals": False})
        self._thread.start()

    def stop(self) -> None:
        if self.agent is not None and self._thread is not None:
            self.agent.stop()
            self._thread.join(10)
            assert not self._thread.is_alive()
            self.agent = None

    def command(self, verb: Verb = Verb.SHUT_DOWN, **more: Any) -> Command:
        now_ms = int(time.time() * 1000)
        given = {"id": uuid.uuid4().hex, "device": str(self.address), "verb": verb, "issued_ms": now_ms}
        return Command(**{**given, "expires_ms": now_ms + 600_000, "warn_s": 2, **more})

    def send(self, command: Command) -> str:
        self.ear.publish(self.address, signing.sign(command, self.key))
        return command.id

    def close(self) -> None:
        self.stop()
        self.ear.close()


@pytest.fixture
def machine() -> HandMachine:
    return HandMachine()


@pytest.fixture
def world(broker: Mosquitto, tmp_path: Path) -> Iterator[World]:
    """A device at the shared broker; the agent is not started yet."""
    made = World(broker.port, tmp_path)
    made.listen()
    yield made
    made.close()


@pytest.fixture
def own_world(own_broker: Mosquitto, tmp_path: Path) -> Iterator[World]:
    """A device at a broker that the test may stop."""
    made = World(own_broker.port, tmp_path)
    made.listen()
    yield made
    made.close()


@pytest.fixture
def wait() -> Callable[..., Any]:
    return until
