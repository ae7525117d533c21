"""Ten thousand hostile messages: what a broken, old, foreign or malicious sender can put on the broker. Seeded."""

import asyncio
import itertools
import json
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import aiomqtt
import mqtt5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from caretaker_contract.errors import ContractError
from caretaker_contract.messages import decode
from caretaker_contract.topics import Address, Kind, parse, subscriptions
from worlds import NOW_MS, Stream

BIG = 60_000
"""Bytes of the largest payloads: as long as the collector lets the broker send."""
STRANGERS = "badschool"
"""A school that is in no register: messages that keep to the contract, with absurd numbers, come from its devices."""


@dataclass(frozen=True)
class Hostile:
    """One message."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    properties: int = 0  # how many user properties it carries

    @property
    def heard(self) -> bool:
        """Whether the collector's subscriptions fit its topic."""
        return any(aiomqtt.Topic(self.topic).matches(topic) for topic in subscriptions())

    @property
    def breaks_the_contract(self) -> bool:
        """Whether it has to be put aside. An empty one only clears a retained message."""
        if not self.heard or not self.payload:
            return False
        try:
            _, kind = parse(self.topic)
            decode(kind, self.payload)
        except ContractError:
            return True
        return False


def hostile(rng: random.Random, count: int, victims: list[Address]) -> list[Hostile]:
    """`count` messages in random order; many on the topics of `victims`, whose good streams must not notice."""
    made: list[Hostile] = []
    makers = itertools.cycle([_broken_json, _odd_fields, _whole_values, _deep, _big, _wrong_topics, _absurd])
    while len(made) < count:
        for topic, payload in next(makers)(rng, victims):
            retain = rng.random() < 0.05
            message = Hostile(topic, payload, rng.randint(0, 1), retain, properties=rng.choice([0, 0, 0, 1, 30]))
            if message.heard and payload and not message.breaks_the_contract:
                # Odd but allowed: only the device itself could say it (the broker's access list), so say it of others.
                kind = topic.rsplit("/", 1)[1]
                message = replace(message, topic=f"caretaker/1/{STRANGERS}/pc-{rng.randrange(4)}/{kind}")
            made.append(message)
    rng.shuffle(made)
    return made[:count]


Made = Iterator[tuple[str, bytes]]


def _topic(rng: random.Random, victims: list[Address]) -> str:
    return rng.choice(victims).topic(rng.choice([Kind.REPORT, Kind.OUTCOME, Kind.HELLO, Kind.PRESENCE]))


def _report() -> dict[str, Any]:
    stream = Stream(Address("ash", "pc-000"))
    return dict(json.loads(stream.wire(stream.report())[1]))


def _broken_json(rng: random.Random, victims: list[Address]) -> Made:
    good = json.dumps(_report()).encode()
    yield _topic(rng, victims), good[: rng.randrange(1, len(good))]
    yield _topic(rng, victims), good + good
    yield _topic(rng, victims), b"\x00" * rng.randrange(1, 2000)
    yield _topic(rng, victims), good.replace(b"in_use", b"in\x00use")
    yield _topic(rng, victims), rng.randbytes(rng.randrange(1, 500))
    yield _topic(rng, victims), b"\xff\xfe" + good
    yield _topic(rng, victims), good.replace(b"in_use", b"in_\xc3\x28use")
    yield _topic(rng, victims), b"\xef\xbb\xbf" + good
    yield _topic(rng, victims), b'{"v":1,"epoch":"\\ud800"}'
    yield _topic(rng, victims), b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"
    yield _topic(rng, victims), b""
    yield _topic(rng, victims), b" "


def _odd_fields(rng: random.Random, victims: list[Address]) -> Made:
    topic = rng.choice(victims).topic(Kind.REPORT)
    odd = [None, True, -1, 0, 2**53 + 1, 2**63, 2**64, 10**400, 1e308, 0.5, "", "x" * 500, "1", [], [[]], {}, {"v": 1}]
    for key in ("v", "epoch", "boot", "seq", "prev", "at_ms", "sent_ms", "state", "was", "cause", "meters", "gauges"):
        value = rng.choice([o for o in odd if (key, o) not in (("prev", 0), ("gauges", {}))])
        yield topic, json.dumps({**_report(), key: value}).encode()
    for text in ("1e999", "-1e999", "NaN", "Infinity", "1" * 5000, "0x10", "01"):
        yield topic, json.dumps(_report()).replace('"seq": 1', f'"seq": {text}').encode()
    yield topic, json.dumps({**_report(), "state": "lost"}).encode()
    yield topic, json.dumps({**_report(), "prev": 5}).encode()
    yield topic, json.dumps({**_report(), "v": 2}).encode()


def _whole_values(rng: random.Random, victims: list[Address]) -> Made:
    for text in (
        b"null",
        b"true",
        b"0",
        b"-1e-999",
        b'"report"',
        b"[]",
        b"[1,2,3]",
        b"{}",
        b"[" + b"{}," * 999 + b"{}]",
    ):
        yield _topic(rng, victims), text


def _deep(rng: random.Random, victims: list[Address]) -> Made:
    depth = rng.choice([100, 1_000, 5_000, 15_000])
    yield _topic(rng, victims), b"[" * depth
    yield _topic(rng, victims), b"[" * (depth // 2) + b"]" * (depth // 2)
    yield _topic(rng, victims), b'{"a":' * (depth // 5) + b"1" + b"}" * (depth // 5)
    yield rng.choice(victims).topic(Kind.REPORT), b'{"meters":' * (depth // 10) + b"1" + b"}" * (depth // 10)


def _big(rng: random.Random, victims: list[Address]) -> Made:
    for payload in (b"x" * BIG, rng.randbytes(BIG), json.dumps({**_report(), "pad": "p" * BIG}).encode()[:BIG]):
        if rng.random() < 0.15:  # few, or this would be a test of the disk's speed
            yield _topic(rng, victims), payload
    yield _topic(rng, victims), b'{"v":1,"epoch":"' + b"0" * 20_000 + b'"}'


def _wrong_topics(rng: random.Random, victims: list[Address]) -> Made:
    payload = json.dumps(_report()).encode()
    for school, device in (
        ("ash", "PC-000"),
        ("ash", "pc 000"),
        ("ash", "pc-ü"),
        ("ash", "-pc"),
        ("ash", ".."),
        ("ash", "a" * 64),
        ("ash", "a" * 5000),
        ("", "pc-000"),
        ("ash", ""),
        ("Robert'); DROP TABLE devices;--", "x"),
        ("ash", "$(reboot)"),
        ("ash", "pc,device=pc-001"),
    ):
        yield f"caretaker/1/{school}/{device}/{rng.choice(['report', 'outcome', 'hello', 'presence'])}", payload
    for topic in ("caretaker/2/ash/pc-000/report", "caretaker/1/ash/report", "caretaker/1/a/b/c/report", "$x/report"):
        yield topic, payload
    yield f"caretaker/1/{STRANGERS}/pc-000/command", payload
    yield f"caretaker/1/{STRANGERS}/pc-000/Report", payload


def _absurd(rng: random.Random, victims: list[Address]) -> Made:
    """All that the contract allows and no sane device says."""
    address = Address(STRANGERS, f"pc-{rng.randrange(4)}")
    top = 2**53
    numbers = [1, 2, rng.randrange(1, 5000), rng.randrange(1, top), top]
    for _ in range(6):
        report = {
            **_report(),
            "epoch": rng.choice(["00000000", "ffffffff", f"{rng.randrange(2**32):08x}"]),
            "boot": rng.choice(numbers) + 1 if rng.random() < 0.5 else 2,
            "seq": rng.choice(numbers),
            "prev": rng.choice([0, *numbers]),
            "at_ms": rng.choice([0, 1, NOW_MS, 4_102_444_800_000]),
            "sent_ms": rng.choice([0, NOW_MS, 4_102_444_800_000]),
            "meters": {"in_use_s": rng.choice([0, 4_102_444_800]), "idle_s": 0, "asleep_s": 4_102_444_800},
        }
        yield address.topic(Kind.REPORT), json.dumps(report).encode()
    epoch = f"{rng.randrange(2**32):08x}"  # a number far up, and then: nothing before it is kept
    first = {**_report(), "epoch": epoch, "boot": 1, "seq": top}
    given_up = {
        **{key: first[key] for key in ("v", "epoch", "boot", "prev", "at_ms", "sent_ms")},
        "seq": top - 1,
        "command": "0" * 32,
        "verb": "replay",
        "step": "failed",
        "reason": "not_kept",
        "missing": [[epoch, 1, 1, top]] * 50,
    }
    yield address.topic(Kind.REPORT), json.dumps(first).encode()
    yield address.topic(Kind.OUTCOME), json.dumps(given_up).encode()


def endless(boots: int) -> list[Hostile]:
    """A device that leaves the largest gap that the contract allows in each of many boots, and gives all of them up."""
    address, top, report = Address(STRANGERS, "liar"), 2**53, _report()
    made = [
        Hostile(
            address.topic(Kind.REPORT),
            json.dumps({**report, "boot": boot, "seq": top, "prev": 0, "at_ms": NOW_MS + boot}).encode(),
        )
        for boot in range(2, boots + 2)
    ]
    for number, first in enumerate(range(2, boots + 2, 50)):
        outcome = {
            **{key: report[key] for key in ("v", "epoch", "at_ms", "sent_ms")},
            **{"boot": boots + 100 + number, "seq": 1, "prev": 0, "command": "0" * 32},
            **{"verb": "replay", "step": "failed", "reason": "not_kept"},
            "missing": [[report["epoch"], boot, 1, top] for boot in range(first, first + 50)],
        }
        made.append(Hostile(address.topic(Kind.OUTCOME), json.dumps(outcome).encode()))
    return made


async def send_all(port: int, messages: list[Hostile]) -> None:
    """Publish in order, as fast as the broker takes them."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, timeout=30) as client:
        client.pending_calls_threshold = 1000
        for start in range(0, len(messages), 100):
            part = messages[start : start + 100]
            await asyncio.gather(*(client.publish(m.topic, m.payload, m.qos, m.retain, _properties(m)) for m in part))


def _properties(message: Hostile) -> Properties | None:
    if not message.properties:
        return None
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("käse\u2028" * 3, "x" * 50)] * message.properties
    properties.ContentType = "application/x-shellscript"
    properties.ResponseTopic = "caretaker/1/ash/pc-000/command"
    properties.CorrelationData = bytes(range(256))
    properties.MessageExpiryInterval = 1_000_000
    return properties


def send_what_no_client_lets_through(port: int) -> int:
    """Wildcards, NUL and broken UTF-8 in a topic, as raw packets; returns how often the broker threw us out."""
    thrown_out = 0
    topics = [b"caretaker/1/+/pc-000/report", b"caretaker/1/#", b"caretaker/1/ash/a\x00b/report", b"\xff\xfe", b"#"]
    for topic in topics:
        with socket.create_connection(("127.0.0.1", port), 5) as link:
            link.sendall(mqtt5.ConnectPacket("raw", clean_start=True).write())
            link.recv(1000)
            body = len(topic).to_bytes(2, "big") + topic + b"\x00" + b"{}"
            link.sendall(b"\x30" + bytes([len(body)]) + body)
            link.settimeout(5)
            try:
                while link.recv(1000):
                    pass
            except ConnectionError:
                pass  # thrown out, less politely
            thrown_out += 1
    return thrown_out
