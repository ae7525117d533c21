"""Run a command where there is no network but loopback, and see which addresses it listened on, connected or sent to.

The command gets a network namespace of its own (util-linux's unshare) in which only `lo` is up, so it really has to
work offline; strace writes down every address that it, or a child of it, tried.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from servers import program

_LO_UP = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
os.execvp(sys.argv[1], sys.argv[1:])
"""
_CALL = re.compile(r"^(?P<process>\d+)\s+(?P<name>bind|listen|connect|sendto|sendmsg|sendmmsg)\((?P<socket>\d+)")
_ADDRESS = re.compile(
    r'sin_port=htons\((?P<port4>\d+)\), sin_addr=inet_addr\("(?P<v4>[^"]+)"\)'
    r'|sin6_port=htons\((?P<port6>\d+)\).*?inet_pton\(AF_INET6, "(?P<v6>[^"]+)"'
)


@dataclass(frozen=True, slots=True)
class Offline:
    """What came of a command. `outside` lists what it tried beyond loopback, such as "connect 192.0.2.1:443"."""

    returncode: int
    stdout: str
    stderr: str
    outside: list[str]
    inside: int  # how many calls with an address of loopback were seen


def run_offline(command: Sequence[str], cwd: Path, timeout_s: float = 120) -> Offline:
    """Run `command` to its end in `cwd`, with no network but loopback, and keep every call with another address."""
    trace = cwd / "network-calls.txt"
    alone = [program("unshare", "util-linux"), *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net"]
    watched = [program("strace", "strace"), "-f", "--seccomp-bpf", "-qq", "-s", "0", "-o", str(trace)]
    watched += ["-e", "trace=bind,listen,connect,sendto,sendmsg,sendmmsg", "-e", "signal=none"]
    done = subprocess.run(
        [*alone, sys.executable, "-c", _LO_UP, *watched, *command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert trace.exists(), f"cannot watch: unshare and strace must be allowed here (privileges): {done.stderr}"
    outside: list[str] = []
    inside = 0
    any_port: dict[tuple[str, str], str] = {}
    for text in trace.read_text(errors="replace").splitlines():
        call = _CALL.match(text)
        if call is None:
            continue
        handle = call["process"], call["socket"]
        if call["name"] == "bind":
            any_port.pop(handle, None)  # the number of a socket that was closed, used again
        if call["name"] == "listen" and handle in any_port:
            outside.append(f"listen {any_port[handle]}")
        for found in _ADDRESS.finditer(text):
            address, port = ip_address(found["v4"] or found["v6"]), int(found["port4"] or found["port6"])
            if address.is_loopback:
                inside += 1
            elif call["name"] == "bind" and address.is_unspecified and port == 0:
                any_port[handle] = f"{address}:{port}"  # what clients do before they connect: it counts if it listens
            else:
                outside.append(f"{call['name']} {address}:{port}")
    return Offline(done.returncode, done.stdout, done.stderr, outside, inside)
