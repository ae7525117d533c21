"""Magic packets and the relay's own judgement, with real UDP on loopback and between network namespaces."""

import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Command, Verb
from caretaker_relay import settings as relay_settings
from caretaker_relay.packet import magic
from caretaker_relay.run import Waker
from caretaker_relay.settings import WakeSettings
from servers import program

MACS = [f"02:00:00:00:00:{number:02x}" for number in range(1, 6)]


def wake_command(macs: list[str]) -> Command:
    """An order that was judged already."""
    return Command(
        id=uuid.uuid4().hex, device="ash/relay-1", verb=Verb.WAKE, issued_ms=1_000, expires_ms=91_000, macs=macs
    )


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """A machine's network card, as far as loopback has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("", 0))
        made.settimeout(2)
        yield made


def loopback(ear: socket.socket, stagger_ms: int = 0) -> WakeSettings:
    """Broadcasts that stay on this machine."""
    return WakeSettings(broadcast="127.255.255.255", port=ear.getsockname()[1], stagger_ms=stagger_ms)


@given(st.binary(min_size=6, max_size=6))
def test_a_magic_packet_is_six_ff_and_the_address_sixteen_times(address: bytes) -> None:
    packet = magic(address.hex(":"))
    assert len(packet) == 102
    assert packet[:6] == b"\xff" * 6
    assert packet[6:] == address * 16


@pytest.mark.parametrize("wrong", ["", "02:00", "02:00:00:00:00:01:02", "zz:00:00:00:00:01"])
def test_what_is_no_address_makes_no_packet(wrong: str) -> None:
    with pytest.raises(ValueError):
        magic(wrong)


def test_each_machine_gets_one_packet_and_then_the_command_is_over(ear: socket.socket) -> None:
    waker, command = Waker(loopback(ear)), wake_command([*MACS, MACS[0]])
    waker.add(command)
    assert waker.step(10.0) == (command, "")
    assert [ear.recv(200) for _ in MACS] == [magic(mac) for mac in MACS]
    assert waker.due_s is None
    ear.settimeout(0.1)
    with pytest.raises(TimeoutError):
        ear.recv(200)


def test_packets_are_staggered_and_commands_wait_for_each_other(ear: socket.socket) -> None:
    waker, first, second = Waker(loopback(ear, stagger_ms=200)), wake_command(MACS[:2]), wake_command(MACS[2:3])
    waker.add(first)
    waker.add(second)
    assert waker.step(10.0) is None
    assert waker.step(10.1) is None, "too early for the next"
    assert waker.due_s == pytest.approx(10.2)
    assert waker.step(10.2) == (first, "")
    assert waker.step(10.4) == (second, "")
    assert [ear.recv(200) for _ in range(3)] == [magic(mac) for mac in MACS[:3]]
    ear.settimeout(0.1)
    with pytest.raises(TimeoutError):
        ear.recv(200)


def test_a_network_that_refuses_ends_the_command_with_what_went_wrong() -> None:
    waker, command = Waker(WakeSettings(broadcast="127.255.255.255", interface="nowhere0")), wake_command(MACS)
    waker.add(command)
    over = waker.step(10.0)
    assert over is not None
    assert over[0] is command
    assert "127.255.255.255: " in over[1]
    assert waker.due_s is None


def test_a_relay_that_goes_names_the_commands_that_it_did_not_finish(ear: socket.socket) -> None:
    waker, command = Waker(loopback(ear, stagger_ms=1000)), wake_command(MACS)
    waker.add(command)
    waker.step(10.0)
    assert waker.give_up() == [command]
    assert waker.due_s is None


def relay_toml(folder: Path, wake: str = "", keys: str = f'["{"ab" * 32}"]') -> Path:
    path = folder / "relay.toml"
    path.write_text(
        'school = "ash"\ndevice = "relay-1"\nroom = "servers"\ndevice_class = "server"\n'
        f'command_keys = {keys}\n[broker]\nhost = "127.0.0.1"\n[wake]\n{wake}'
    )
    return path


@pytest.mark.parametrize(
    ("wake", "told"),
    [
        ("stager_ms = 5", "unknown field `stager_ms`"),
        ('broadcast = "10.20.30.999"', "wake.broadcast: 10.20.30.999 is no address"),
        ('interface = "nowhere0"', "wake.interface: no interface 'nowhere0' here; there are: lo"),
        ("port = 70000", "wake: Expected `int` <= 65535"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_remedy(tmp_path: Path, wake: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        relay_settings.load(relay_toml(tmp_path, wake))
    assert told in str(caught.value)


def test_a_relay_that_nobody_may_command_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        relay_settings.load(relay_toml(tmp_path, keys="[]"))
    assert "nobody may wake anything" in str(caught.value)


def test_check_config_says_how_it_will_wake(tmp_path: Path) -> None:
    path = relay_toml(tmp_path, 'interface = "lo"\nbroadcast = "127.255.255.255"')
    command = [sys.executable, "-m", "caretaker_relay", "check-config", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("all well; ash/relay-1 wakes by 127.255.255.255:9 through lo\n")


_LISTEN = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
    ear.bind(("", 9))
    ear.settimeout(10)
    print("ready", flush=True)
    print(ear.recv(200).hex(), flush=True)
"""
_SEND = """
import sys
from caretaker_contract.messages import Command, Verb
from caretaker_relay.run import Waker
from caretaker_relay.settings import WakeSettings
waker = Waker(WakeSettings(interface="wake0"))
waker.add(Command(id="0" * 32, device="ash/relay-1", verb=Verb.WAKE, issued_ms=1, expires_ms=2, macs=sys.argv[1:]))
print(waker.step(10.0)[1])
"""


@pytest.fixture
def two_machines() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: the relay's end is wake0, the other one card0."""
    ip = program("ip", "iproute2")
    relay, machine = (f"ct-{end}-{uuid.uuid4().hex[:6]}" for end in ("relay", "pc"))

    def run(*words: str) -> None:
        done = subprocess.run([ip, *words], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"

    made = []
    try:
        for name in (relay, machine):
            done = subprocess.run([ip, "netns", "add", name], capture_output=True, text=True, check=False, timeout=20)
            if done.returncode != 0 and "ermission" in done.stderr + done.stdout:
                pytest.skip("network namespaces take root; the same packets are tested on loopback above")
            assert done.returncode == 0, done.stderr
            made.append(name)
        run("-n", relay, "link", "add", "wake0", "type", "veth", "peer", "name", "card0", "netns", machine)
        run("-n", relay, "addr", "add", "10.99.0.1/24", "dev", "wake0")
        run("-n", relay, "link", "set", "wake0", "up")
        run("-n", machine, "addr", "add", "10.99.0.2/24", "dev", "card0")
        run("-n", machine, "link", "set", "card0", "up")
        yield relay, machine
    finally:
        for name in made:
            run("netns", "del", name)


@pytest.mark.slow
def test_a_broadcast_through_one_interface_reaches_a_machine_on_that_network(two_machines: tuple[str, str]) -> None:
    """With the default address and port, as at a school: the relay has no route but the interface that it names."""
    relay, machine = two_machines
    listen = ["ip", "netns", "exec", machine, sys.executable, "-c", _LISTEN]
    send = ["ip", "netns", "exec", relay, sys.executable, "-c", _SEND, MACS[2]]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as ear:
        assert ear.stdout is not None
        assert ear.stdout.readline() == "ready\n"
        done = subprocess.run(send, capture_output=True, text=True, check=False, timeout=20)
        assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
        assert ear.stdout.readline().strip() == magic(MACS[2]).hex()
