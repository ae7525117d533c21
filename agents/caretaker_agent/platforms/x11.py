"""Seconds since the last key press or mouse motion on an X display, by the MIT-SCREEN-SAVER extension.

It speaks the X11 protocol itself, three requests over one socket: Xlib ends its process when the display goes away, and
no display's end may take the agent with it. Sources: X Window System Protocol (X.Org, X11R7.7), chapters 8 and 9 and
its appendix B; MIT-SCREEN-SAVER protocol, QueryInfo; xauth(1)'s file layout in libXau. Wayland is not covered: there,
logind's idle hint is what there is.
"""

import os
import socket
import struct
from pathlib import Path

from caretaker_agent.probe import Value

_TIMEOUT_S = 1.0
_QUERY_EXTENSION = 98
_EXTENSION = b"MIT-SCREEN-SAVER"
_QUERY_INFO = 1


class X11Idle:
    """The input age of the display in DISPLAY. Raises OSError or ValueError when the display does not answer."""

    gauge = "input_age_s"
    cheap = True

    def __init__(self, display: str, authority: Path) -> None:
        self.display = display
        self._number = int(display.rpartition(":")[2].partition(".")[0])
        self._authority = authority
        self._socket: socket.socket | None = None
        self._opcode = 0
        self._root = 0

    def gather(self) -> Value:
        """Seconds since the last input; a broken connection is opened afresh at the next call."""
        try:
            if self._socket is None:
                self._connect()
            reply = self._ask(struct.pack("<BBHI", self._opcode, _QUERY_INFO, 2, self._root))
        except (OSError, ValueError, struct.error):
            self.close()
            raise
        return float(struct.unpack_from("<I", reply, 16)[0]) / 1000

    def close(self) -> None:
        """Let go of the display."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_TIMEOUT_S)
        self._socket = connection
        connection.connect(f"/tmp/.X11-unix/X{self._number}")  # noqa: S108 (where X displays are)
        name, data = _cookie(self._authority, self._number)
        connection.sendall(
            struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(data)) + _padded(name) + _padded(data)
        )
        status, _reason, _major, _minor, words = struct.unpack("<BBHHH", self._receive(8))
        setup = self._receive(words * 4)
        if status != 1:
            raise ValueError(f"display {self.display} refuses: {setup[:60]!r}")
        vendor, formats = struct.unpack_from("<H", setup, 16)[0], setup[21]
        self._root = struct.unpack_from("<I", setup, 32 + (vendor + 3) // 4 * 4 + formats * 8)[0]
        request = struct.pack("<BxHHxx", _QUERY_EXTENSION, 2 + len(_EXTENSION) // 4, len(_EXTENSION)) + _EXTENSION
        reply = self._ask(request)
        if not reply[8]:
            raise ValueError(f"display {self.display} has no {_EXTENSION.decode()}")
        self._opcode = reply[9]

    def _ask(self, request: bytes) -> bytes:
        assert self._socket is not None
        self._socket.sendall(request)
        while True:
            reply = self._receive(32)
            if reply[0] == 0:
                raise ValueError(f"display {self.display} answers with error {reply[1]}")
            if reply[0] == 1:
                extra = struct.unpack_from("<I", reply, 4)[0]
                if extra > 1024:
                    raise ValueError(f"display {self.display} answers {extra} words too many")
                return reply + self._receive(extra * 4)

    def _receive(self, size: int) -> bytes:
        assert self._socket is not None
        parts = b""
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionError(f"display {self.display} hung up")
            parts += part
        return parts


def from_environment(environment: dict[str, str]) -> X11Idle | None:
    """The probe for DISPLAY, None when there is no local display."""
    display = environment.get("DISPLAY", "")
    number = display.rpartition(":")[2].partition(".")[0]
    if not number.isdigit() or display.partition(":")[0] not in ("", "unix"):
        return None
    home = environment.get("HOME", "/")
    return X11Idle(display, Path(environment.get("XAUTHORITY") or f"{home}/.Xauthority"))


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _cookie(path: Path, number: int) -> tuple[bytes, bytes]:
    """Name and data of the entry for this display; both empty when there is none."""
    try:
        data = path.read_bytes()
    except OSError:
        return b"", b""
    host = os.uname().nodename.encode()
    offset = 0
    while offset + 2 <= len(data):
        family = struct.unpack_from(">H", data, offset)[0]
        offset += 2
        fields = []
        for _ in range(4):
            size = struct.unpack_from(">H", data, offset)[0]
            fields.append(data[offset + 2 : offset + 2 + size])
            offset += 2 + size
        address, display, name, cookie = fields
        local = family == 0xFFFF or (family == 256 and address == host)  # FamilyWild, FamilyLocal
        if local and display in (b"", str(number).encode()) and name == b"MIT-MAGIC-COOKIE-1":
            return name, cookie
    return b"", b""
