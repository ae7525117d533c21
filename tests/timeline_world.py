"""A machine, its line and a collector, told as a day in a few words; what the collector stores is what a timeline is
made of: the readings that reached it, and the changes that reports told or presence concluded."""

import random
from zoneinfo import ZoneInfo

from caretaker_contract.messages import Cause, Meters, PowerState, PresenceNote, PresenceWord, Report
from caretaker_rules.intervals import Span
from caretaker_rules.model import Presence, Transition
from caretaker_rules.presence import ON_STATES, PresenceSettings, step, transition_of
from caretaker_rules.rollup import Reading
from caretaker_rules.timeline import Stretch, timeline
from rules_world import EPOCH, london_ms, report

DAY = "2026-10-06"
LONDON = ZoneInfo("Europe/London")
MINUTE_MS = 60_000
HEARTBEAT_MS = 300_000
WILL_MS = 90_000
IN_USE, ASLEEP, OFF = PowerState.IN_USE, PowerState.ASLEEP, PowerState.OFF


def clock_ms(text: str) -> int:
    """UTC ms of "17:30" on the day, or of "+1 08:00" on the day after."""
    days, _, hours = text.rpartition(" ")
    return london_ms(f"{DAY} {hours}") + int(days or 0) * 86_400_000


def words(stretches: list[Stretch]) -> str:
    """Stretches as "00:00 blind, 08:00 on, 17:00 planned_off rule", in minutes, rounded."""
    begin_ms = clock_ms("00:00")
    told = []
    for one in stretches:
        days, minutes = divmod(round((one.from_ms - begin_ms) / MINUTE_MS), 1440)
        cause = "" if one.cause is Cause.UNKNOWN else f" {one.cause.value}"
        day = f"+{days} " if days > 0 else f"{days} " if days else ""
        told.append(f"{day}{minutes // 60:02}:{minutes % 60:02} {one.what.value}{cause}")
    return ", ".join(told)


class World:
    """Events in order of time; between two of them the heart beats, the meters count, and the collector ticks."""

    def __init__(self) -> None:
        self.now_ms = clock_ms("00:00")
        self.readings: list[Reading] = []
        self.changes: list[Transition] = []
        self.sight: list[Span] = []
        self._presence = Presence()
        self._epoch, self._boot, self._seq, self._link = EPOCH, 0, 0, 0
        self._on_ms = self._asleep_ms = self._kept_on_ms = 0
        self._state, self._said = OFF, OFF
        self._agent = False  # runs
        self._line = True
        self._beat_ms = 0
        self._will_ms: int | None = None
        self._outbox: list[Report] = []
        self._queue: list[Report] = []
        self._retained: PresenceNote | None = None
        self._seen_ms: int | None = clock_ms("-2 00:00")

    def boot(self, at: str) -> "World":
        """Switched on; it is connected 20 s after its first report."""
        self._until(at)
        self._boot, self._seq, self._link, self._agent = self._boot + 1, 0, 0, True
        self._state = IN_USE
        self._tell(IN_USE, OFF, Cause.BOOT)
        self._connect(20_000)
        return self

    def goes(self, at: str, cause: str, state: PowerState = OFF, note: bool = True) -> "World":
        """Off or asleep, with a goodbye."""
        self._until(at)
        self._tell(state, self._said, Cause(cause))
        if note:
            self._leave(Cause(cause))
        self._state, self._agent = state, False
        return self

    def wakes(self, at: str) -> "World":
        """Back from sleep."""
        self._until(at)
        self._state, self._agent = IN_USE, True
        self._tell(IN_USE, ASLEEP, Cause.RESUME)
        self._connect(2000)
        return self

    def crash(self, at: str, will: bool = True) -> "World":
        """No power from one moment to the next; the meters of the last report are what it remembers."""
        self._until(at)
        self._state, self._agent = OFF, False
        self._on_ms = self._kept_on_ms
        self._will_ms = self.now_ms + WILL_MS if self._line and will else None
        return self

    def cut(self, at: str) -> "World":
        """The line is cut."""
        self._until(at)
        self._line = False
        self._will_ms = self.now_ms + WILL_MS
        return self

    def mend(self, at: str, dropped: bool = False) -> "World":
        """The line is back; `dropped`: the outbox could not keep what was reported meanwhile."""
        self._until(at)
        self._line = True
        if dropped:
            self._outbox.clear()
        if self._agent:
            self._connect(0)
        return self

    def stop_agent(self, at: str) -> "World":
        """Only the agent is stopped."""
        self._until(at)
        self._leave(Cause.AGENT_STOP)
        self._agent = False
        return self

    def start_agent(self, at: str) -> "World":
        """It is started again in the same boot: the meters know of the time between."""
        self._until(at)
        self._agent = True
        self._tell(IN_USE, self._said, Cause.AGENT_START)
        self._connect(2000)
        return self

    def reinstall(self, at: str) -> "World":
        """A new agent on the machine, which is on: a new epoch."""
        self._until(at)
        self._epoch, self._boot, self._seq, self._link = "00000001", 1, 0, 0
        self._on_ms = self._asleep_ms = 0
        self._state, self._agent = IN_USE, True
        self._outbox.clear()
        self._tell(IN_USE, IN_USE, Cause.AGENT_START)
        self._connect(2000)
        return self

    def close_eyes(self, at: str) -> "World":
        """The collector stops."""
        self._until(at)
        assert self._seen_ms is not None
        self.sight.append((self._seen_ms, self.now_ms))
        self._seen_ms = None
        return self

    def open_eyes(self, at: str, dropped: bool = False) -> "World":
        """The collector is back; `dropped`: what was reported meanwhile is lost."""
        self._until(at)
        self._seen_ms = self.now_ms
        if dropped:
            self._queue.clear()
        if self._retained is not None:
            self._step(self._retained, self.now_ms)
            self._retained = None
        for one in self._queue:
            self._receive(one, self.now_ms)
        self._queue.clear()
        return self

    def line(self, until: str = "+1 00:00", start: str = "00:00", known: str | None = None, mixed: bool = True) -> str:
        """The timeline in words."""
        self._until(max(until, known or until, key=clock_ms))
        sight = list(self.sight) if self._seen_ms is None else [*self.sight, (self._seen_ms, self.now_ms)]
        end_ms = clock_ms(until)
        readings, changes = list(self.readings), list(self.changes)
        straight = timeline(readings, changes, clock_ms(start), end_ms, clock_ms(known or until), sight)
        if mixed:
            mix = random.Random(1)
            for items in (readings, changes):
                items.extend(mix.choices(items, k=3) if items else [])
                mix.shuffle(items)
            assert timeline(readings, changes, clock_ms(start), end_ms, clock_ms(known or until), sight) == straight
        return words(straight)

    def _until(self, at: str) -> None:
        """Time passes, a minute at a time."""
        end_ms = clock_ms(at)
        while self.now_ms < end_ms:
            spent_ms = min(MINUTE_MS, end_ms - self.now_ms)
            self.now_ms += spent_ms
            if self._state in ON_STATES:
                self._on_ms += spent_ms
            elif self._state is ASLEEP:
                self._asleep_ms += spent_ms
            if self._agent and self.now_ms >= self._beat_ms and self.now_ms < end_ms:
                self._tell(IN_USE, IN_USE, Cause.HEARTBEAT)
            if self._will_ms is not None and self.now_ms >= self._will_ms:
                self._will_ms = None
                self._note(PresenceWord.LOST, Cause.UNKNOWN, self.now_ms)
            if self._seen_ms is not None:
                self._presence, told = step(self._presence, None, self.now_ms, PresenceSettings(), self._seen_ms)
                self.changes.extend(told)

    def _tell(self, state: PowerState, was: PowerState, cause: Cause) -> None:
        self._seq += 1
        meters = Meters(in_use_s=self._on_ms // 1000, idle_s=0, asleep_s=self._asleep_ms // 1000)
        self._kept_on_ms = self._on_ms
        self._said = state
        self._beat_ms = self.now_ms + HEARTBEAT_MS
        self._outbox.append(
            report(
                self._seq,
                state,
                was,
                boot=self._boot,
                epoch=self._epoch,
                at_ms=self.now_ms,
                cause=cause,
                meters=meters,
            )
        )
        if self._line and self._link:
            self._flush(self.now_ms + 40)

    def _connect(self, after_ms: int) -> None:
        if self._line:
            self._will_ms = None
            self._link += 1
            self._note(PresenceWord.ONLINE, Cause.UNKNOWN, self.now_ms + after_ms)
            self._flush(self.now_ms + after_ms + 40)

    def _leave(self, cause: Cause) -> None:
        if self._line:
            self._note(PresenceWord.LEAVING, cause, self.now_ms)

    def _note(self, word: PresenceWord, cause: Cause, at_ms: int) -> None:
        note = PresenceNote(
            presence=word, cause=cause, epoch=self._epoch, boot=self._boot, link=max(1, self._link), at_ms=at_ms
        )
        if self._seen_ms is None:
            self._retained = note
        else:
            self._step(note, at_ms)

    def _flush(self, at_ms: int) -> None:
        for one in self._outbox:
            if self._seen_ms is None:
                self._queue.append(one)
            else:
                self._receive(one, at_ms)
        self._outbox.clear()

    def _receive(self, one: Report, at_ms: int) -> None:
        meters = one.meters
        self.readings.append(
            Reading(one.epoch, one.boot, one.seq, one.at_ms, one.state, meters.in_use_s, meters.idle_s, meters.asleep_s)
        )
        own = transition_of(one)
        self.changes.extend([own] if own else [])
        self._step(one, at_ms, own)

    def _step(self, event: PresenceNote | Report, at_ms: int, own: Transition | None = None) -> None:
        self._presence, told = step(self._presence, event, at_ms, PresenceSettings(), self._seen_ms or 0)
        self.changes.extend(change for change in told if change != own)
