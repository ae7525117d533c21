"""Whether to obey a command, and the countdown before it: pure judgement, so that simulated machines obey by it too.

An `Obedience` is told what arrived, what is known of the machine (`View`) and the time; it answers with a list of
effects for its owner to carry out in that order:

    Say      publish this step as an outcome
    Warn     show the fixed sentence and the seconds left to whoever is at the machine; Unwarn takes it back
    Act      switch (or, in a dry run, do as if), then call `acted`
    Resend   send these numbers again, then call `resent`
    Rouse    wake the machines of `command.macs` (a relay's owner only), then call `roused`
    Note     one line for the log: refused without an outcome

Rules: the signature, target and expiry are checked first, then single use. A machine in use, one that cannot tell, and
one whose programmes ask to stay on refuse. Any input during the countdown vetoes, and everything is checked once more
at its end. One countdown at a time.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from caretaker_contract.errors import CommandError, ContractError
from caretaker_contract.messages import (
    MAX_BYTES,
    POWER_VERBS,
    Cause,
    Command,
    OutcomeReason,
    Range,
    Step,
    Verb,
    WarnText,
    decode_command,
)

if TYPE_CHECKING:
    from nacl.signing import VerifyKey

KEEP_SEEN_MS: Final = 86_400_000
"""An id is remembered for a day past its expiry, so that a clock set back by less does not bring a command back."""
INPUT_SLACK_S: Final = 2.0
"""Idle seconds may fall this far behind the countdown's own clock before it counts as input (rounding, late look)."""
UNPROVEN_PER_HOUR: Final = 20
"""At most so many outcomes an hour for commands that proved nothing or were repeated: no flood may fill the outbox."""


class View(NamedTuple):
    """What is known of the machine now. None means that it could not be found out, and counts against switching."""

    idle_s: float | None  # seconds since anybody's last input
    inhibited: bool | None = False  # a programme asks the machine to stay on


class Moment(NamedTuple):
    """Now, on two clocks: the wall's (UTC ms, for expiry) and one that only grows (s, for countdowns)."""

    wall_ms: int
    steady_s: float


class Say(NamedTuple):
    """Publish one step of a command."""

    command: str
    verb: Verb
    step: Step
    reason: OutcomeReason = OutcomeReason.NONE
    missing: tuple[Range, ...] = ()


class Warn(NamedTuple):
    """Tell whoever is there; `verb` None means that nothing will be switched (the verb `warn`)."""

    text: WarnText
    seconds: int
    verb: Verb | None


class Unwarn(NamedTuple):
    """Take the warning back."""


class Act(NamedTuple):
    """Switch the machine as `command` says (with `dry_run`: do not), then call `acted`."""

    command: Command
    dry_run: bool


class Resend(NamedTuple):
    """Send the numbers in `command.ranges` again, then call `resent`."""

    command: Command


class Rouse(NamedTuple):
    """Wake the machines of `command.macs`, then call `roused`."""

    command: Command


class Note(NamedTuple):
    """A line for the log about a command that gets no outcome."""

    text: str


Effect = Say | Warn | Unwarn | Act | Resend | Rouse | Note


class Keyring:
    """The public keys that may command, from their 64 hex digits; share one among many devices.

    The cryptography is loaded when the first command arrives: most machines get one in the evening or none.
    """

    __slots__ = ("_keys", "_texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)
        self._keys: dict[str, VerifyKey] | None = None

    def verify(self, payload: bytes, device: str, now_ms: int) -> Command:
        """The proven command; raises CommandError."""
        from caretaker_contract import signing

        if self._keys is None:
            keys = [signing.read_public(text) for text in self._texts]
            self._keys = {signing.key_id(key): key for key in keys}
        return signing.verify(payload, self._keys, device, now_ms)


class _Countdown(NamedTuple):
    command: Command
    started_s: float  # steady
    idle_s: float  # at its start


class Obedience:
    """The commands of one device. `seen` (id -> expiry, UTC ms) is its memory of single use: keep it over restarts."""

    __slots__ = (
        "_abilities",
        "_acting",
        "_allow_power_off",
        "_countdown",
        "_device",
        "_hour_s",
        "_idle_after_s",
        "_keys",
        "_unproven",
        "seen",
    )

    def __init__(
        self,
        device: str,
        keys: Keyring,
        abilities: frozenset[Verb],
        *,
        idle_after_s: float,
        allow_power_off: bool,
        seen: dict[str, int] | None = None,
    ) -> None:
        self._device = device
        self._keys = keys
        self._abilities = abilities
        self._idle_after_s = idle_after_s
        self._allow_power_off = allow_power_off
        self.seen: dict[str, int] = {} if seen is None else seen
        self._countdown: _Countdown | None = None
        self._acting: Command | None = None
        self._unproven = 0
        self._hour_s = float("-inf")

    @property
    def counting_down(self) -> bool:
        """Whether `tick` has to be called every second or so."""
        return self._countdown is not None

    def due_s(self) -> float | None:
        """The steady second at which the countdown ends, None when there is none."""
        if self._countdown is None:
            return None
        return self._countdown.started_s + self._countdown.command.warn_s

    def receive(self, payload: bytes, view: View, now: Moment) -> list[Effect]:
        """Judge what arrived on the command topic; it may be any bytes."""
        try:
            command = self._keys.verify(payload, self._device, now.wall_ms)
        except CommandError as error:
            return self._refuse_unproven(payload, error, now)
        return self.order(command, view, now)

    def order(self, command: Command, view: View, now: Moment) -> list[Effect]:
        """Judge a command whose signature, target and time are already proven."""
        if command.id in self.seen:
            if not self._may_answer(now):
                return [Note(f"repeated command {command.id}")]
            return [_refused(command, OutcomeReason.REPEATED)]
        self._remember(command.id, command.expires_ms, now.wall_ms)
        if command.verb not in self._abilities:
            return [_refused(command, OutcomeReason.UNABLE)]
        if command.verb in POWER_VERBS:
            return self._start(command, view, now)
        if command.verb is Verb.CANCEL:
            return self._cancel(command, now)
        if command.verb is Verb.REPLAY:
            return [Resend(command)]
        if command.verb is Verb.WARN:
            return [Warn(command.warn_text, command.warn_s, None), _say(command, Step.DONE)]
        if command.verb is Verb.WAKE and command.macs:  # an empty target set does nothing
            return [_say(command, Step.RECEIVED), Rouse(command)]
        return [_refused(command, OutcomeReason.UNABLE)]

    def tick(self, view: View, now: Moment) -> list[Effect]:
        """Go on with the countdown: veto, refuse, wait, or act."""
        if self._countdown is None:
            return []
        command, started_s, idle_s = self._countdown
        elapsed_s = max(0.0, now.steady_s - started_s)
        if view.idle_s is not None and view.idle_s < idle_s + elapsed_s - INPUT_SLACK_S:
            return self._end([Unwarn(), _say(command, Step.VETOED, OutcomeReason.USER_INPUT)])
        against = self._against(command, view)
        if against is not None:
            return self._end([Unwarn(), _refused(command, against)])
        if elapsed_s < command.warn_s:
            return []
        if now.wall_ms >= command.expires_ms + command.warn_s * 1000:
            # It was valid when the countdown began; only a machine that slept meanwhile comes here so late.
            return self._end([Unwarn(), _refused(command, OutcomeReason.EXPIRED)])
        return self._end(self._act(command))

    def acted(self, ok: bool) -> list[Effect]:
        """The owner carried out the last Act; `ok` False when the machine would not."""
        command, self._acting = self._acting, None
        if command is None:
            return []
        if not ok:
            return [Unwarn(), _say(command, Step.FAILED, OutcomeReason.ERROR)]
        return [_say(command, Step.DONE, OutcomeReason.NONE if self._allow_power_off else OutcomeReason.DRY_RUN)]

    def abandon(self) -> list[Effect]:
        """Give up the countdown because the owner cannot go on with it (its disk refuses, the machine is leaving)."""
        self._acting = None
        if self._countdown is None:
            return []
        command = self._countdown.command
        return self._end([Unwarn(), _say(command, Step.FAILED, OutcomeReason.ERROR)])

    def resent(self, command: Command, missing: Sequence[Range]) -> list[Effect]:
        """The owner sent what a Resend asked for, except the numbers in `missing`, which are not kept any more."""
        if missing:
            return [Say(command.id, command.verb, Step.FAILED, OutcomeReason.NOT_KEPT, tuple(missing))]
        return [_say(command, Step.DONE)]

    def roused(self, command: Command, ok: bool) -> list[Effect]:
        """The owner sent a packet to each machine of a Rouse; `ok` False when it could not."""
        return [_say(command, Step.DONE) if ok else _say(command, Step.FAILED, OutcomeReason.ERROR)]

    def _start(self, command: Command, view: View, now: Moment) -> list[Effect]:
        if self._countdown is not None or self._acting is not None:
            return [_refused(command, OutcomeReason.BUSY)]
        against = self._against(command, view)
        if against is not None or view.idle_s is None:
            return [_refused(command, against or OutcomeReason.CANNOT_TELL)]
        effects: list[Effect] = [_say(command, Step.RECEIVED)]
        if command.warn_s == 0:
            return effects + self._act(command)
        self._countdown = _Countdown(command, now.steady_s, view.idle_s)
        effects += [Warn(command.warn_text, command.warn_s, command.verb), _say(command, Step.WARNED)]
        return effects

    def _act(self, command: Command) -> list[Effect]:
        self._acting = command
        return [Act(command, dry_run=not self._allow_power_off)]

    def _against(self, command: Command, view: View) -> OutcomeReason | None:
        """What speaks against switching now, None when nothing does."""
        if view.idle_s is None or view.inhibited is None:
            return OutcomeReason.CANNOT_TELL
        if view.idle_s < max(self._idle_after_s, command.idle_at_least_s):
            return OutcomeReason.IN_USE
        if view.inhibited:
            return OutcomeReason.INHIBITED
        return None

    def _cancel(self, command: Command, now: Moment) -> list[Effect]:
        if self._countdown is not None and self._countdown.command.id == command.target:
            stopped = self._countdown.command
            return self._end([Unwarn(), _say(stopped, Step.VETOED, OutcomeReason.CANCELLED), _say(command, Step.DONE)])
        if command.target is None or command.target in self.seen:
            return [_say(command, Step.FAILED, OutcomeReason.UNABLE)]  # nothing of that id is counting down any more
        # The cancel overtook its command: remember the id, so that the command finds itself used up.
        self._remember(command.target, command.expires_ms, now.wall_ms)
        return [_say(command, Step.DONE)]

    def _end(self, effects: list[Effect]) -> list[Effect]:
        self._countdown = None
        return effects

    def _remember(self, command_id: str, expires_ms: int, now_ms: int) -> None:
        for old in [key for key, expiry in self.seen.items() if expiry + KEEP_SEEN_MS < now_ms]:
            del self.seen[old]
        self.seen[command_id] = expires_ms

    def _refuse_unproven(self, payload: bytes, error: CommandError, now: Moment) -> list[Effect]:
        claimed = _claimed(payload)
        if claimed is None or not self._may_answer(now):
            return [Note(f"refused a command: {error.refusal}: {error.reason}")]
        return [
            Note(f"refused a command: {error.refusal}: {error.reason}"),
            _refused(claimed, OutcomeReason(error.refusal)),
        ]

    def _may_answer(self, now: Moment) -> bool:
        if now.steady_s - self._hour_s >= 3600 or now.steady_s < self._hour_s:
            self._hour_s, self._unproven = now.steady_s, 0
        self._unproven += 1
        return self._unproven <= UNPROVEN_PER_HOUR


def leaving_cause(command: Command) -> Cause:
    """What a machine says when it leaves because it obeyed `command`."""
    if command.verb is Verb.RESTART:
        return Cause.RESTART
    return Cause.MAINTENANCE if command.cause is Cause.MAINTENANCE else Cause.RULE


def _say(command: Command, step: Step, reason: OutcomeReason = OutcomeReason.NONE) -> Say:
    return Say(command.id, command.verb, step, reason)


def _refused(command: Command, reason: OutcomeReason) -> Say:
    return Say(command.id, command.verb, Step.REFUSED, reason)


def _claimed(payload: bytes) -> Command | None:
    """What an unproven payload says it is, only to name it in the refusal; None when it cannot be read."""
    import base64
    import binascii

    from caretaker_contract.signing import SignedCommand

    if len(payload) > 2 * MAX_BYTES:
        return None
    try:
        envelope = msgspec.json.decode(payload, type=SignedCommand)
        return decode_command(base64.b64decode(envelope.body, validate=True))
    except (msgspec.MsgspecError, ContractError, binascii.Error, ValueError, RecursionError):
        return None
