""" "We are still here": how somebody at the machine reaches its agent, and what the agent answers.

On Linux the agent has a datagram socket in its state directory that every local user may write to. A word that comes in
can ask for one thing only, so who sent it does not matter, and nobody asks. On Windows, which has no such sockets for
Python, it is a file in a folder that users may write to: the agent takes the file away when the request is kept.
"""

import math
import os
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from caretaker_contract.errors import Unavailable

SOCKET_FILE: Final = "still-here.socket"
ASK_FOLDER, ASK_FILE = "asks", "still-here"
WORD: Final = b"still here"
PAUSE_S: Final = 1.0
"""Real seconds between two looks at the socket: whoever floods it does not keep the agent busy."""
AT_ONCE: Final = 64
"""Datagrams read at one look; Linux keeps ten for a socket (net.unix.max_dgram_qlen), some distributions 512."""
ANSWER_WITHIN_S: Final = 5.0
NOT_RUNNING: Final = "the agent is not running on this machine, so nothing was asked; tell your ICT staff"


class Answer(Struct, frozen=True):
    """What the agent made of it. `why` is "" when the request is kept, else why it could not be."""

    until_ms: int = 0  # by this machine's clock
    line_up: bool = False  # else the collector hears of it when the network is back
    why: str = ""


class Door(Protocol):
    """Where local users may ask."""

    def fileno(self) -> int | None:
        """What becomes readable when somebody asks; None: there is no such thing, or it rests."""
        ...

    def opens_s(self) -> float:
        """Until when (monotonic) it rests; infinite when it does not."""
        ...

    def asks(self) -> list[object]:
        """Who asked since the last call."""
        ...

    def answer(self, asker: object, answer: Answer) -> None:
        """Tell them. Never raises."""
        ...

    def close(self) -> None:
        """Nobody can ask any more."""
        ...


class SocketDoor:
    """A datagram socket. The caller holds the state directory's lock, so one that is there is of an agent that died."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / SOCKET_FILE
        self._rests_until_s = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._path.unlink(missing_ok=True)
            self._socket.bind(str(self._path))
            self._path.chmod(0o666)
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"{self._path}: {error.strerror or error}") from None

    def fileno(self) -> int | None:
        """None for a moment after somebody asked."""
        return self._socket.fileno() if time.monotonic() >= self._rests_until_s else None

    def opens_s(self) -> float:
        """See PAUSE_S."""
        return self._rests_until_s if time.monotonic() < self._rests_until_s else math.inf

    def asks(self) -> list[object]:
        """What is waiting, so that nobody waits behind a flood; no request, or one from nowhere, is dropped."""
        if self.fileno() is None:
            return []
        askers: list[object] = []
        try:
            for _ in range(AT_ONCE):
                word, asker = self._socket.recvfrom(64)
                self._rests_until_s = time.monotonic() + PAUSE_S
                if asker and word == WORD:
                    askers.append(asker)
        except OSError:
            pass  # no more of them
        return askers

    def answer(self, asker: object, answer: Answer) -> None:
        """To the socket that the word came from; it may be gone."""
        assert isinstance(asker, str | bytes)
        try:
            self._socket.sendto(msgspec.json.encode(answer), asker)
        except OSError:
            pass

    def close(self) -> None:
        """Without the file a caller is told at once that no agent runs."""
        self._socket.close()
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            pass  # the next agent does it


class FileDoor:
    """A file that users make and the agent takes away, looked for at every look at the machine."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / ASK_FOLDER / ASK_FILE
        try:
            self._path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{self._path.parent}: {error.strerror}") from None

    def fileno(self) -> int | None:
        """Nothing to wait for."""
        return None

    def opens_s(self) -> float:
        """It is looked for anyway."""
        return math.inf

    def asks(self) -> list[object]:
        """The file, when it is one. What somebody else put in its place is left alone."""
        try:
            return [self._path] if stat.S_ISREG(self._path.lstat().st_mode) else []
        except OSError:
            return []

    def answer(self, asker: object, answer: Answer) -> None:
        """Taken away: the request is kept."""
        try:
            if not answer.why:
                self._path.unlink(missing_ok=True)
        except OSError:
            pass

    def close(self) -> None:
        """The folder stays."""


def open_door(state_dir: Path) -> Door:
    """What this system has. Unavailable when it cannot be opened."""
    return FileDoor(state_dir) if sys.platform == "win32" else SocketDoor(state_dir)


class Asked(NamedTuple):
    """The newest request that was kept, so that asking again and again makes no more of it than once a minute."""

    until_ms: int = 0
    at_s: float = -math.inf  # monotonic


def ask(state_dir: Path, poll_s: int) -> Answer | None:
    """Ask the agent of this machine. None: kept, but it could not say until when. Unavailable says why it was not."""
    if sys.platform == "win32":
        return ask_by_file(state_dir, poll_s + ANSWER_WITHIN_S)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        caller.settimeout(ANSWER_WITHIN_S)
        try:
            caller.bind("")  # Linux finds it a name that is no file (unix(7), autobind)
            caller.connect(str(state_dir / SOCKET_FILE))
            caller.send(WORD)
            answer = msgspec.json.decode(caller.recv(4096), type=Answer)
        except (FileNotFoundError, ConnectionRefusedError):
            raise Unavailable(NOT_RUNNING) from None
        except TimeoutError:
            raise Unavailable("the agent did not answer, so perhaps nothing was asked; try again in a minute") from None
        except PermissionError:
            raise Unavailable(f"{state_dir / SOCKET_FILE}: you may not reach the agent; tell your ICT staff") from None
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"{state_dir / SOCKET_FILE}: {error}") from None
    if answer.why:
        raise Unavailable(f"the agent could not ask: {answer.why}")
    return answer


def ask_by_file(state_dir: Path, within_s: float) -> None:
    """The same through the folder; the request is kept when this returns."""
    path = state_dir / ASK_FOLDER / ASK_FILE
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except FileNotFoundError:
        raise Unavailable(NOT_RUNNING) from None
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; tell your ICT staff") from None
    end_s = time.monotonic() + within_s
    while path.exists():
        if time.monotonic() > end_s:
            try:
                path.unlink(missing_ok=True)  # nothing happens later that nobody expects
            except OSError:
                pass
            raise Unavailable(NOT_RUNNING)
        time.sleep(0.1)
