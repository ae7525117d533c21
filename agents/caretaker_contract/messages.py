"""The messages, as JSON through msgspec.

Rules that carry everything else:
- Reports and outcomes are **numbered**: (epoch, boot, seq). `epoch` is drawn when an agent is installed, `boot` counts
  boots within the epoch, `seq` counts from 1 within the boot, and `prev` is the last number of the boot before (0:
  none). So a reader sees every gap, also at the end of a boot, and order never depends on anybody's wall clock.
- A report says what the state *was* before it, so a change of state is complete in one message.
- Meters only grow within an epoch. Times are UTC milliseconds by the device's clock; `sent_ms` is that clock at the
  moment of sending, so that collector time minus `sent_ms` is the skew, for a replayed report too.
- Keys that this version does not know are ignored (a newer agent may send more); bad values are a ContractError that
  names the field.
- Nothing here can hold a user name, window title, address of a page or file name (invariant I10).
"""

from enum import StrEnum
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from caretaker_contract.errors import ContractError
from caretaker_contract.topics import NAME_PATTERN, Kind

VERSION: Final = 1
MAX_BYTES: Final = 16_384
"""No message of the contract is longer; a longer one is refused before it is parsed."""

Millis = Annotated[int, Meta(ge=0, le=4_102_444_800_000, description="UTC milliseconds, up to the year 2100")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Number = Annotated[int, Meta(ge=1, le=2**53)]
Seconds = Annotated[int, Meta(ge=0, le=4_102_444_800)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Watts = Annotated[float, Meta(ge=0, le=100_000)]
Name = Annotated[str, Meta(pattern=NAME_PATTERN, description="a name (a-z, 0-9 and hyphens, 63 at most)")]
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$", description="a word (a-z, 0-9 and _, 40 at most)")]
Epoch = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}$")]
CommandId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
Mac = Annotated[str, Meta(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
Text = Annotated[str, Meta(max_length=80, pattern=r"^[\x20-\x7e]*$")]
StaySeconds = Annotated[int, Meta(ge=300, le=14_400, description="five minutes to four hours")]


class PowerState(StrEnum):
    """Where a machine is. A device reports the first four of itself; the last two are the collector's."""

    IN_USE = "in_use"
    IDLE = "idle"
    ASLEEP = "asleep"
    OFF = "off"
    LOST = "lost"  # should be heard and is not
    UNKNOWN = "unknown"  # never heard, or Caretaker itself could not see


class Cause(StrEnum):
    """Why a report was made, or why a machine leaves."""

    HEARTBEAT = "heartbeat"  # nothing changed
    BOOT = "boot"
    AGENT_START = "agent_start"  # the agent came back within the same boot
    INPUT = "input"  # somebody is there again
    NO_INPUT = "no_input"  # nobody has been for the idle threshold
    RESUME = "resume"  # back from sleep
    RULE = "rule"  # leaving: Caretaker asked for it
    USER = "user"  # leaving: somebody at the machine did it
    MAINTENANCE = "maintenance"  # leaving: an engineer or a patch window did it
    RESTART = "restart"  # leaving, and coming straight back
    AGENT_STOP = "agent_stop"  # the agent goes, the machine stays on: blind, not off
    UNKNOWN = "unknown"


LEAVING_CAUSES = frozenset({Cause.RULE, Cause.USER, Cause.MAINTENANCE, Cause.RESTART, Cause.AGENT_STOP, Cause.UNKNOWN})


class Verb(StrEnum):
    """All that a command can ask of an agent. There is no other, and none takes text that reaches a shell."""

    SHUT_DOWN = "shut_down"
    SLEEP = "sleep"
    RESTART = "restart"
    WAKE = "wake"  # for a relay
    WARN = "warn"
    CANCEL = "cancel"
    REPLAY = "replay"


POWER_VERBS = frozenset({Verb.SHUT_DOWN, Verb.SLEEP, Verb.RESTART})


class Step(StrEnum):
    """How far a command has come on the machine. The last four are final."""

    RECEIVED = "received"
    WARNED = "warned"
    VETOED = "vetoed"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


FINAL_STEPS = frozenset({Step.VETOED, Step.DONE, Step.FAILED, Step.REFUSED})


class OutcomeReason(StrEnum):
    """Why a command ended as it did."""

    NONE = "none"
    DRY_RUN = "dry_run"  # done, but this machine's settings do not allow powering off
    USER_INPUT = "user_input"  # vetoed: somebody touched the machine
    IN_USE = "in_use"  # refused: the machine is in use
    CANNOT_TELL = "cannot_tell"  # refused: idle time unknown, so it counts as in use
    INHIBITED = "inhibited"  # refused: a programme on the machine asked to stay on
    CANCELLED = "cancelled"
    BUSY = "busy"  # refused: another command is counting down
    BAD_SIGNATURE = "bad_signature"
    UNKNOWN_KEY = "unknown_key"
    WRONG_TARGET = "wrong_target"
    EXPIRED = "expired"
    NOT_YET = "not_yet"  # issued in this machine's future: its clock cannot be trusted
    REPEATED = "repeated"
    UNABLE = "unable"  # this machine cannot do that verb
    MALFORMED = "malformed"
    NOT_KEPT = "not_kept"  # replay: some numbers are no longer in the outbox, see `missing`
    ERROR = "error"


class WarnText(StrEnum):
    """The only texts that a warning can show; the agent holds the sentences."""

    AFTER_HOURS = "after_hours"
    BREAK_TIME = "break_time"
    MAINTENANCE = "maintenance"
    ENGINEER = "engineer"


class Meters(Struct, frozen=True, kw_only=True, gc=False):
    """Counters that only grow within an epoch. Wall time minus their sum is time spent off."""

    in_use_s: Seconds
    idle_s: Seconds
    asleep_s: Seconds
    energy_mwh: Count | None = None  # milliwatt-hours where a sensor measured them


class Gauges(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Readings of the moment; None where the machine cannot tell."""

    idle_s: Seconds | None = None  # since the last input of anybody
    session: bool | None = None  # is anybody signed in
    cpu_ratio: Ratio | None = None
    memory_ratio: Ratio | None = None
    watts: Watts | None = None
    uptime_s: Seconds | None = None
    disk_ratio: Ratio | None = None  # of the fullest local disk
    inhibited: bool | None = None  # a programme asks the machine to stay on


class Numbered(Struct, frozen=True, kw_only=True):
    """What reports and outcomes share; see the module's first rule."""

    v: int = VERSION
    epoch: Epoch
    boot: Number
    seq: Number
    prev: Count
    at_ms: Millis
    sent_ms: Millis

    @property
    def key(self) -> tuple[int, int]:
        """(boot, seq): grows with every message of an epoch."""
        return self.boot, self.seq


class Report(Numbered, frozen=True, kw_only=True):
    """State and meter readings of a machine: on every change of state, and as a heartbeat while it is on."""

    state: PowerState
    was: PowerState  # equals `state` on a heartbeat
    cause: Cause
    meters: Meters
    gauges: Gauges = Gauges()
    # "We are still here": somebody at the machine asks that its room be kept on for so long from `at_ms` on. Only the
    # report that was made because they asked has the key, and older readers pass it over.
    stay_s: StaySeconds | UnsetType = UNSET


class Range(Struct, frozen=True, array_like=True):
    """Numbers `first`..`last` of one boot of one epoch, both included. As JSON: ["3f9a01c2", 57, 1, 20]."""

    epoch: Epoch
    boot: Number
    first: Number
    last: Number


class Outcome(Numbered, frozen=True, kw_only=True):
    """What became of a command, one message for each step."""

    command: CommandId
    verb: Verb
    step: Step
    reason: OutcomeReason = OutcomeReason.NONE
    missing: Annotated[list[Range], Meta(max_length=50)] = field(default_factory=list)


class Hello(Struct, frozen=True, kw_only=True):
    """Who a device is; retained, published on every connection."""

    v: int = VERSION
    device_class: Slug
    room: Name
    os: Text = ""
    agent: Text = ""
    mac: Mac | None = None
    epoch: Epoch
    boot: Number
    seq: Count  # the highest number made so far in this boot
    abilities: Annotated[list[Verb], Meta(max_length=20)] = field(default_factory=list)
    heartbeat_s: Annotated[int, Meta(ge=1, le=86_400)] = 300
    at_ms: Millis


class PresenceWord(StrEnum):
    """The three things that a presence topic can say."""

    ONLINE = "online"
    LEAVING = "leaving"
    LOST = "lost"


class PresenceNote(Struct, frozen=True, kw_only=True):
    """Retained availability. `link` counts the connections of a boot, so that the will of an old one is told apart.

    `at_ms` is the device's clock when the note was written: for a will that is the moment of connecting.
    """

    v: int = VERSION
    presence: PresenceWord
    cause: Cause = Cause.UNKNOWN
    epoch: Epoch
    boot: Number
    link: Number
    at_ms: Millis


class Command(Struct, frozen=True, kw_only=True):
    """What is signed: one device, one verb, an id, a time and an expiry."""

    v: int = VERSION
    id: CommandId
    device: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}$")]
    verb: Verb
    issued_ms: Millis
    expires_ms: Millis
    cause: Cause = Cause.RULE  # what the machine will say when it leaves: rule, or maintenance for a person's order
    warn_s: Annotated[int, Meta(ge=0, le=3600)] = 120
    warn_text: WarnText = WarnText.AFTER_HOURS
    idle_at_least_s: Seconds = 0  # the machine refuses unless it has been idle for as long
    target: CommandId | None = None  # cancel: which command
    ranges: Annotated[list[Range], Meta(max_length=50)] = field(default_factory=list)  # replay: which numbers
    macs: Annotated[list[Mac], Meta(max_length=64)] = field(default_factory=list)  # wake: whom a relay is to wake


Message = Hello | PresenceNote | Report | Outcome
T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_decoders: dict[Kind, msgspec.json.Decoder[Message]] = {
    Kind.HELLO: msgspec.json.Decoder(Hello),
    Kind.PRESENCE: msgspec.json.Decoder(PresenceNote),
    Kind.REPORT: msgspec.json.Decoder(Report),
    Kind.OUTCOME: msgspec.json.Decoder(Outcome),
}
_command_decoder = msgspec.json.Decoder(Command)


def encode(message: Message | Command) -> bytes:
    """JSON bytes of any message."""
    return _encoder.encode(message)


def decode(kind: Kind, payload: bytes) -> Message:
    """Read what arrived on a topic of `kind`. Raises ContractError (naming the field) and nothing else."""
    decoder = _decoders.get(kind)
    if decoder is None:
        raise ContractError(f"{kind.value} is not a message of a device", "topic")
    message = _read(decoder, payload)
    _check(message)
    return message


def decode_command(payload: bytes) -> Command:
    """Read the signed part of a command. Raises ContractError (naming the field) and nothing else."""
    command = _read(_command_decoder, payload)
    if command.v != VERSION:
        raise ContractError(f"version {command.v} is not {VERSION}", "v")
    if command.expires_ms < command.issued_ms:
        raise ContractError("expires before it was issued", "expires_ms")
    return command


def _read(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    if len(payload) > MAX_BYTES:
        raise ContractError(f"{len(payload)} bytes, {MAX_BYTES} at most")
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        reason, _, path = str(error).partition(" - at `$")
        raise ContractError(reason, path.rstrip("`").lstrip(".")) from None


def _check(message: Message) -> None:
    """What the types cannot say."""
    if message.v != VERSION:
        raise ContractError(f"version {message.v} is not {VERSION}", "v")
    if isinstance(message, Report):
        if message.state in (PowerState.LOST, PowerState.UNKNOWN):
            raise ContractError(f"a machine cannot report itself {message.state.value}", "state")
        if message.prev and message.boot == 1:
            raise ContractError("the first boot has none before it", "prev")
    elif isinstance(message, PresenceNote):
        if message.presence is PresenceWord.LEAVING and message.cause not in LEAVING_CAUSES:
            raise ContractError(f"{message.cause.value} is not a reason to leave", "cause")
    elif isinstance(message, Outcome) and any(part.first > part.last for part in message.missing):
        raise ContractError("a range ends before it begins", "missing")
