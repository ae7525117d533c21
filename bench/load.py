"""Both ends of the throughput benchmark, each a process of its own: the load generator and the plain consumer.

The generator speaks for all devices over one connection, as a school's gateway would: message `i` is device `i % n`'s
hello (the first n messages) and then its report number `i // n`. So a batch of the collector's touches as many devices
as it has messages, which is the dearest case, and it has the real contract's messages, encoded one by one.

The plain consumer only subscribes, reads and acknowledges, through the codec that the collector uses: what is left
when journal, rules and store are taken away.
"""

import os
import select
import socket
import time
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import mqtt5

from caretaker_contract.messages import Cause, Gauges, Hello, Meters, PowerState, Report, Verb, encode
from caretaker_contract.topics import Address, Kind, subscriptions

CHUNK = 400
"""Messages made and sent at once."""
TURN_EVERY = 10
"""Every so many reports of a device one tells of a change of state."""
EPOCH = "5ca1ab1e"
SCHOOL_OF = 328


def address(number: int) -> Address:
    """Device `number` of the estate, 328 to a school."""
    return Address(f"s{number // SCHOOL_OF:03}", f"pc-{number % SCHOOL_OF:03}")


class Link:
    """A blocking MQTT 5 connection."""

    def __init__(self, port: int, client_id: str, receive_max: int = 10_000) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self.socket.sendall(mqtt5.ConnectPacket(client_id, keep_alive=0, receive_max=receive_max).write())
        (answer,) = self.read()
        if int(answer.reason_code) >= 128:
            raise RuntimeError(f"the broker refuses {client_id}: {answer.reason_code}")
        self.receive_max: int = answer.receive_max

    def read(self) -> list[Any]:
        """Whole packets, at least one."""
        packets: list[Any] = []
        while not packets:
            data = self.socket.recv(262_144)
            if not data:
                raise ConnectionError("the broker has closed the connection")
            self._buffer += data
            done = 0
            with memoryview(self._buffer) as view:
                try:
                    while done < len(view):
                        packet, size = mqtt5.read(view[done:])
                        packets.append(packet)
                        done += size
                except IndexError:
                    pass  # the rest of it is still on its way
            del self._buffer[:done]
        return packets


class Voices:
    """Makes message `i`; the same `i` always says the same, but for the time."""

    def __init__(self, devices: int) -> None:
        self._devices = devices
        addresses = [address(number) for number in range(devices)]
        self._hellos = [one.topic(Kind.HELLO) for one in addresses]
        self._reports = [one.topic(Kind.REPORT) for one in addresses]

    def packet(self, i: int, packet_id: int, now_ms: int) -> bytes:
        """Message `i` as bytes for the socket."""
        device, seq = i % self._devices, i // self._devices
        if not seq:
            topic, payload = self._hellos[device], encode(_hello(now_ms))
        else:
            topic, payload = self._reports[device], encode(_report(device, seq, now_ms))
        return mqtt5.PublishPacket(
            topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id, retain=not seq
        ).write()


def _hello(now_ms: int) -> Hello:
    return Hello(
        device_class="desktop",
        room="ict1",
        os="Debian GNU/Linux 12",
        agent="1.0.0",
        epoch=EPOCH,
        boot=7,
        seq=0,
        abilities=[Verb.SHUT_DOWN, Verb.SLEEP, Verb.RESTART, Verb.WARN, Verb.CANCEL, Verb.REPLAY],
        at_ms=now_ms,
    )


def _state(device: int, seq: int) -> PowerState:
    """One machine in five is idle; each changes its state every ten reports."""
    if not seq:
        return PowerState.OFF
    return PowerState.IDLE if (device + (seq - 1) // TURN_EVERY) % 5 == 0 else PowerState.IN_USE


def _report(device: int, seq: int, now_ms: int) -> Report:
    state, was = _state(device, seq), _state(device, seq - 1)
    idle = state is PowerState.IDLE
    change = Cause.BOOT if seq == 1 else Cause.NO_INPUT if idle else Cause.INPUT
    return Report(
        epoch=EPOCH,
        boot=7,
        seq=seq,
        prev=0,
        at_ms=now_ms,
        sent_ms=now_ms,
        state=state,
        was=was,
        cause=Cause.HEARTBEAT if state is was else change,
        meters=Meters(in_use_s=1_000_000 + device + 240 * seq, idle_s=400_000 + 60 * seq, asleep_s=300_000),
        gauges=Gauges(
            idle_s=2_400 if idle else 4,
            session=not idle,
            cpu_ratio=0.03 if idle else 0.21,
            memory_ratio=0.46,
            uptime_s=90_000 + 300 * seq,
        ),
    )


def generate(
    port: int, devices: int, cores: list[int], allowed: "Synchronized[int]", sent: "Synchronized[int]"
) -> None:
    """Publish messages up to `allowed`, which may grow, until it is negative; `sent`: how many the broker has."""
    os.sched_setaffinity(0, cores)
    link, voices = Link(port, "load"), Voices(devices)
    window = min(link.receive_max, 5_000)
    made = taken = packet_id = 0
    while (limit := allowed.value) >= 0:
        number = min(limit - made, window - (made - taken), CHUNK)
        if number > 0:
            now_ms, packets = int(time.time() * 1000), []
            for i in range(made, made + number):
                packet_id = packet_id % 65_535 + 1
                packets.append(voices.packet(i, packet_id, now_ms))
            link.socket.sendall(b"".join(packets))
            made += number
        if made > taken and (number <= 0 or select.select([link.socket], [], [], 0)[0]):
            for answer in link.read():
                if int(answer.reason_code) >= 128:
                    raise RuntimeError(f"the broker refuses a message: {answer.reason_code}")
                taken += 1
            sent.value = taken
        elif number <= 0:
            time.sleep(0.001)


def consume(port: int, cores: list[int], done: "Synchronized[int]") -> None:
    """Read and acknowledge whatever comes, until killed; `done` counts it."""
    os.sched_setaffinity(0, cores)
    link = Link(port, "plain")
    filters = [mqtt5.TopicFilter(topic, max_qos=mqtt5.QoS.AT_LEAST_ONCE) for topic in subscriptions()]
    link.socket.sendall(mqtt5.SubscribePacket(1, filters).write())
    done.value = 0  # from -1: it is ready
    link.socket.settimeout(None)
    while True:
        published = [packet for packet in link.read() if isinstance(packet, mqtt5.PublishPacket)]
        if published:
            link.socket.sendall(
                b"".join(mqtt5.PubAckPacket(packet.packet_id).write() for packet in published if packet.packet_id)
            )
            done.value += len(published)
