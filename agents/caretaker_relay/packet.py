"""Magic packets: what a network card that sleeps listens for.

The payload is six times 0xff and then the card's address sixteen times (AMD, Magic Packet Technology, white paper
20213, November 1995), by convention as a UDP broadcast to port 9, `discard`, where nobody answers.
"""

import socket
from typing import Final

MAGIC_PORT: Final = 9
_REPEATS: Final = 16


def magic(mac: str) -> bytes:
    """The 102 bytes that wake the card with this address, given as 02:00:5e:10:00:01. ValueError when it is none."""
    address = bytes.fromhex(mac.replace(":", ""))
    if len(address) != 6:
        raise ValueError(f"{mac!r} is not a MAC address of 6 pairs")
    return b"\xff" * 6 + address * _REPEATS


def sender(interface: str | None) -> socket.socket:
    """A socket that may broadcast, through `interface` only when one is given. OSError when that cannot be."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if interface is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except OSError:
        made.close()
        raise
    return made
