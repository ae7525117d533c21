"""The voice of a simulated device: its numbers, its outbox, its connection. It knows nothing of machines.

Numbered messages are kept (up to a bound) also after they were sent, and are sent again when a replay asks for them;
without a connection they wait and go out in order after the next one.
"""

from collections import deque
from collections.abc import Callable, Sequence

from caretaker_contract.messages import (
    LEAVING_CAUSES,
    Cause,
    Hello,
    PresenceNote,
    PresenceWord,
    Range,
    Verb,
    encode,
)
from caretaker_contract.topics import Kind
from caretaker_rules.model import Device
from caretaker_simulator.machine import NEVER
from caretaker_simulator.sent import LinkChange, LinkEvent, Sent, kind_of, restamp
from caretaker_simulator.truth import DeviceTruth

WILL_AFTER_MS = 30_000
"""How long after a device fell silent its will is spoken."""
ABILITIES = [Verb.SHUT_DOWN, Verb.SLEEP, Verb.RESTART, Verb.WARN, Verb.CANCEL, Verb.REPLAY]
RELAY_ABILITIES = [*ABILITIES, Verb.WAKE]
"""The first server of a school does the relay's work beside its own: it wakes the others."""
_MOST_MISSING = 50
"""The contract's bound on the ranges of one outcome."""


class Voice:
    """Numbers messages of one device, keeps them, and hands them to `out` in order while it has a connection.

    With `own_link` it has a connection to itself, and `out` also hears when that comes and goes. Else connections are
    shared, and the device speaks its own will, as a broker would.
    """

    __slots__ = (
        "_device",
        "_heartbeat_s",
        "_kept",
        "_linked",
        "_out",
        "_prefix",
        "_will_due_ms",
        "abilities",
        "boot",
        "link",
        "link_number",
        "offset_ms",
        "own_link",
        "prev",
        "seq",
        "truth",
        "unsent",
    )

    def __init__(
        self,
        device: Device,
        truth: DeviceTruth,
        *,
        out: Callable[[Sent | LinkChange], None],
        heartbeat_s: int,
        keep: int,
        own_link: bool,
    ) -> None:
        self._device = device
        self._prefix = f"caretaker/1/{device.school}/{device.name}/"
        self._out = out
        self._heartbeat_s = heartbeat_s
        self.truth = truth
        self.abilities = ABILITIES
        self.offset_ms = 0  # its clock minus the true time
        self.boot = 1
        self.seq = 0
        self.prev = 0
        truth.last_seq.append(0)
        self.link = False
        self.link_number = 0
        self.own_link = own_link
        self._linked = (1, 1, 0)  # boot, number and device time of the newest connection
        self._will_due_ms = NEVER
        self._kept: deque[bytes] = deque(maxlen=keep)
        self.unsent: list[bytes] = []  # numbered messages made without a connection

    def clock_ms(self, at_ms: int) -> int:
        """What its own clock shows."""
        return max(0, at_ms + self.offset_ms)

    def _numbered(self, at_ms: int, kind: Kind, payload: bytes) -> None:
        """The message with number `seq` was made: keep it, and send it if there is a connection."""
        self.truth.last_seq[-1] = self.seq
        self._kept.append(payload)
        if self.link:
            self._out(Sent(at_ms, self._prefix + kind, payload, False, self))
        else:
            self.unsent.append(payload)

    def _send_again(self, at_ms: int, payload: bytes) -> None:
        again = restamp(payload, self.clock_ms(at_ms))
        self._out(Sent(at_ms, self._prefix + kind_of(payload), again, False, self))

    def _new_boot(self) -> None:
        self.boot += 1
        self.prev, self.seq = self.seq, 0
        self.truth.last_seq.append(0)
        self.link_number = 0

    def _resend(self, ranges: Sequence[Range], at_ms: int) -> list[Range]:
        """Send what is kept of `ranges` again; return what is not."""
        missing: list[Range] = []
        gone = self.truth.published - len(self._kept)  # how many of all numbers are not kept any more
        for part in ranges:
            if part.epoch != self.truth.epoch or part.boot > self.boot:
                missing.append(part)
                continue
            before = sum(self.truth.last_seq[: part.boot - 1])  # numbers of earlier boots
            first = max(part.first, gone - before + 1)
            last = min(part.last, self.truth.last_seq[part.boot - 1])
            if first > last:
                missing.append(part)
                continue
            for seq in range(first, last + 1):
                self._send_again(at_ms, self._kept[before + seq - 1 - gone])
            if part.first < first:
                missing.append(Range(part.epoch, part.boot, part.first, first - 1))
            if last < part.last:
                missing.append(Range(part.epoch, part.boot, last + 1, part.last))
        return missing[:_MOST_MISSING]

    def _connect(self, at_ms: int) -> None:
        self.link = True
        self.relink(at_ms)
        self._will_due_ms = NEVER
        if self.own_link:
            self._out(LinkChange(at_ms, LinkEvent.UP, self.will(), self))
        self.announce(at_ms)
        unsent, self.unsent = self.unsent, []
        for payload in unsent:
            self._send_again(at_ms, payload)

    def relink(self, at_ms: int) -> None:
        """The transport lost the broker and seeks it again: this is another connection, with another will."""
        if self.link:
            self.link_number += 1
            self._linked = (self.boot, self.link_number, self.clock_ms(at_ms))

    def announce(self, at_ms: int) -> None:
        """Say who it is and that it is there, while it has a connection."""
        if self.link:
            self._say_hello(at_ms)
            self._say_presence(at_ms, PresenceWord.ONLINE, Cause.UNKNOWN, self.clock_ms(at_ms))

    def _leave(self, at_ms: int, cause: Cause) -> None:
        known = cause if cause in LEAVING_CAUSES else Cause.UNKNOWN
        self._say_presence(at_ms, PresenceWord.LEAVING, known, self.clock_ms(at_ms))
        self.link = False
        if self.own_link:
            self._out(LinkChange(at_ms, LinkEvent.LEFT, self.will(), self))

    def _cut(self, at_ms: int) -> None:
        self.link = False
        if self.own_link:
            self._out(LinkChange(at_ms, LinkEvent.CUT, self.will(), self))
        else:
            self._will_due_ms = at_ms + WILL_AFTER_MS

    def will(self) -> tuple[str, bytes]:
        """Topic and payload of the last will of its newest connection."""
        boot, link, at_ms = self._linked
        note = PresenceNote(presence=PresenceWord.LOST, epoch=self.truth.epoch, boot=boot, link=link, at_ms=at_ms)
        return self._prefix + Kind.PRESENCE, encode(note)

    def _speak_will(self, at_ms: int) -> None:
        self._will_due_ms = NEVER
        topic, payload = self.will()
        self._out(Sent(at_ms, topic, payload, True, self))

    def _say_hello(self, at_ms: int) -> None:
        hello = Hello(
            device_class=self._device.device_class,
            room=self._device.room,
            os=system(self._device),
            agent="simulator",
            mac=self._device.mac,
            epoch=self.truth.epoch,
            boot=self.boot,
            seq=self.seq,
            abilities=self.abilities,
            heartbeat_s=self._heartbeat_s,
            at_ms=self.clock_ms(at_ms),
        )
        self._out(Sent(at_ms, self._prefix + Kind.HELLO, encode(hello), True, self))

    def _say_presence(self, at_ms: int, word: PresenceWord, cause: Cause, clock_ms: int) -> None:
        boot, link, _ = self._linked
        note = PresenceNote(presence=word, cause=cause, epoch=self.truth.epoch, boot=boot, link=link, at_ms=clock_ms)
        self._out(Sent(at_ms, self._prefix + Kind.PRESENCE, encode(note), True, self))


def system(device: Device) -> str:
    """The operating system of a machine, as its agent would say it: desktops from before 2020 were never renewed."""
    if device.device_class in ("thin_client", "server"):
        return "Debian GNU/Linux 12"
    old = device.bought is not None and device.bought.year < 2020
    return "Windows 10 10.0.19045" if old else "Windows 11 10.0.26100"
