"""Numbers, meters and reports of one machine: what is remembered, what is written, and in which order.

The order is what survives kill -9: first the memory (meters, used command ids), then the message into the outbox, then
the wire. So no number and no command is used twice, and no meter that was reported ever falls.

After a boot the first report says `was` off with cause boot, whether the machine had said goodbye or lost its power:
either way it was off just before. (Which of the two it was, the last message before tells.)
"""

from pathlib import Path

import msgspec

from caretaker_agent import memory as memories
from caretaker_agent.meters import Bank, Reading, divide, state_of
from caretaker_agent.obey import Say
from caretaker_agent.outbox import Cursor, Outbox
from caretaker_agent.probe import Look
from caretaker_agent.settings import Settings
from caretaker_contract.messages import (
    Cause,
    Gauges,
    Meters,
    Outcome,
    PowerState,
    Range,
    Report,
    decode,
    encode,
)
from caretaker_contract.topics import Kind

_BEYOND = 2**53


class Account:
    """One machine's account of itself. Raises Unavailable when the disk refuses; then nothing was numbered."""

    def __init__(self, settings: Settings, boot_id: str, look: Look) -> None:
        self._path = Path(settings.state_dir) / "memory.json"
        self._idle_after_s = settings.idle_after_s
        found = memories.load(self._path)
        self.memory = memories.new() if found is None else found
        remembered = self.memory
        self.outbox = Outbox(Path(settings.state_dir) / "outbox", settings.outbox_max_bytes, Cursor(*remembered.acked))
        self.outbox.dropped = remembered.dropped
        self._bank = Bank(remembered.in_use_ms, remembered.idle_ms, remembered.asleep_ms, remembered.energy_w_ms)
        self.state = state_of(look.input_age_s, self._idle_after_s)
        self.first_cause = Cause.AGENT_START
        self._was = self.state
        self._continue(found is None, boot_id, look)

    @property
    def told(self) -> PowerState:
        """The state that the last report gave."""
        return self._was

    @property
    def seq(self) -> int:
        """The last number of this boot."""
        return self.memory.seq

    def count(self, look: Look) -> PowerState:
        """Bring the meters up to this look; the state of now."""
        remembered = self.memory
        before = Reading(remembered.awake_s, remembered.since_boot_s)
        now = state_of(look.input_age_s, self._idle_after_s)
        span = divide(before, look.clocks, self.state, now, look.input_age_s, self._idle_after_s)
        self._bank.add_span(span, look.whole_watts)
        remembered.awake_s, remembered.since_boot_s = look.clocks
        remembered.state = self.state = now
        return now

    def meters(self) -> Meters:
        """The reading of now."""
        return self._bank.read()

    def report(
        self,
        state: PowerState,
        was: PowerState,
        cause: Cause,
        look: Look,
        uptime_s: int,
        now_ms: int,
        stay_s: int | None = None,
    ) -> Report:
        """Write a report of this look; it is kept when this returns. With `stay_s` somebody asks to be kept on."""
        report = Report(
            epoch=self.memory.epoch,
            boot=self.memory.boot,
            seq=self.memory.seq + 1,
            prev=self.memory.prev,
            at_ms=now_ms,
            sent_ms=now_ms,
            state=state,
            was=was,
            cause=cause,
            meters=self._bank.read(),
            gauges=gauges(look, uptime_s),
            stay_s=msgspec.UNSET if stay_s is None else stay_s,
        )
        self.save()
        self._append(Kind.REPORT, report)
        self._was = state
        return report

    def outcome(self, say: Say, now_ms: int) -> Outcome:
        """Write one step of a command; it is kept when this returns."""
        outcome = Outcome(
            epoch=self.memory.epoch,
            boot=self.memory.boot,
            seq=self.memory.seq + 1,
            prev=self.memory.prev,
            at_ms=now_ms,
            sent_ms=now_ms,
            command=say.command,
            verb=say.verb,
            step=say.step,
            reason=say.reason,
            missing=list(say.missing),
        )
        self.save()
        self._append(Kind.OUTCOME, outcome)
        return outcome

    def next_link(self) -> int:
        """The number of the connection that is about to be made, never used before in this boot."""
        self.memory.link += 1
        self.save()
        return self.memory.link

    def save(self) -> None:
        """Remember everything of now."""
        remembered, bank = self.memory, self._bank
        remembered.in_use_ms, remembered.idle_ms, remembered.asleep_ms = bank.in_use_ms, bank.idle_ms, bank.asleep_ms
        remembered.energy_w_ms = bank.energy_w_ms
        acked = self.outbox.acked
        remembered.acked, remembered.dropped = (acked.segment, acked.offset), self.outbox.dropped
        remembered.told = self._was
        memories.save(self._path, remembered)

    def _append(self, kind: Kind, message: Report | Outcome) -> None:
        self.outbox.append(message.epoch, message.boot, message.seq, kind, encode(message))
        self.memory.seq = message.seq

    def _continue(self, is_new: bool, boot_id: str, look: Look) -> None:
        remembered = self.memory
        if is_new:
            remembered.boot_id = boot_id
            remembered.awake_s, remembered.since_boot_s = look.clocks
            remembered.state = self.state
            return
        remembered.seq = max(remembered.seq, self._recover(remembered.seq))
        same_boot = boot_id == remembered.boot_id and look.clocks.awake_s >= remembered.awake_s
        if same_boot:
            # What the agent did not see of this boot belongs to the state it saw last: the machine was on.
            self._was = self.state if remembered.told is None else remembered.told
            self.state = remembered.state
        else:
            self.first_cause, self._was = Cause.BOOT, PowerState.OFF
            self.state = PowerState.IN_USE  # somebody or something has just switched it on
            remembered.awake_s = remembered.since_boot_s = 0.0
            remembered.boot_id = boot_id
            if remembered.seq:  # a boot of which nothing was ever numbered leaves no gap behind
                remembered.boot, remembered.prev = remembered.boot + 1, remembered.seq
                remembered.seq = remembered.link = 0
        self.count(look)

    def _recover(self, known: int) -> int:
        """The outbox may hold messages that the memory does not know yet: their number, and the state they told."""
        remembered, last = self.memory, known
        for record in self.outbox.find([Range(remembered.epoch, remembered.boot, max(1, known), _BEYOND)]):
            last = max(last, record.seq)
            if record.kind is Kind.REPORT:
                message = decode(record.kind, record.payload)
                if isinstance(message, Report):
                    remembered.told = message.state
        return last


def gauges(look: Look, uptime_s: int) -> Gauges:
    """The readings of the moment as a report carries them."""
    watts = look.whole_watts if look.whole_watts is not None else look.watts
    return Gauges(
        idle_s=None if look.input_age_s is None else max(0, int(look.input_age_s)),
        session=look.session,
        cpu_ratio=None if look.cpu_ratio is None else round(look.cpu_ratio, 4),
        memory_ratio=None if look.memory_ratio is None else round(look.memory_ratio, 4),
        disk_ratio=None if look.disk_ratio is None else round(look.disk_ratio, 4),
        watts=None if watts is None else round(watts, 2),
        uptime_s=uptime_s,
        inhibited=look.inhibited,
    )


def restamped(kind: Kind, payload: bytes, now_ms: int) -> bytes:
    """The same message as it is sent now: only `sent_ms` changes."""
    message = decode(kind, payload)
    assert isinstance(message, Report | Outcome)
    return encode(msgspec.structs.replace(message, sent_ms=now_ms))
