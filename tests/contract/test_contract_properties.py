"""The contract under any input: what is written is read back, and what is not of the contract is a ContractError."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caretaker_contract import messages, signing, topics
from caretaker_contract.errors import CommandError, ContractError
from caretaker_contract.messages import (
    LEAVING_CAUSES,
    Cause,
    Command,
    Gauges,
    Hello,
    Meters,
    Outcome,
    OutcomeReason,
    PowerState,
    PresenceNote,
    PresenceWord,
    Range,
    Report,
    Step,
    Verb,
    WarnText,
)
from caretaker_contract.topics import Address, Kind

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
EPOCHS = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
IDS = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
MILLIS = st.integers(0, 4_102_444_800_000)
SECONDS = st.integers(0, 4_102_444_800)
COUNTS = st.integers(0, 2**53)
NUMBERS = st.integers(1, 2**53)
RATIOS = st.floats(0, 1)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


RANGES = st.builds(Range, epoch=EPOCHS, boot=NUMBERS, first=st.integers(1, 1000), last=st.integers(1000, 2**53))
GAUGES = st.builds(
    Gauges,
    idle_s=maybe(SECONDS),
    session=maybe(st.booleans()),
    cpu_ratio=maybe(RATIOS),
    memory_ratio=maybe(RATIOS),
    watts=maybe(st.floats(0, 100_000)),
    uptime_s=maybe(SECONDS),
    inhibited=maybe(st.booleans()),
)
METERS = st.builds(Meters, in_use_s=SECONDS, idle_s=SECONDS, asleep_s=SECONDS, energy_mwh=maybe(COUNTS))
REPORTS = st.builds(
    Report,
    v=st.just(1),
    epoch=EPOCHS,
    boot=st.integers(2, 2**53),
    seq=NUMBERS,
    prev=COUNTS,
    at_ms=MILLIS,
    sent_ms=MILLIS,
    state=st.sampled_from([PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF]),
    was=st.sampled_from(PowerState),
    cause=st.sampled_from(Cause),
    meters=METERS,
    gauges=GAUGES,
    stay_s=st.just(msgspec.UNSET) | st.integers(300, 14_400),
)
OUTCOMES = st.builds(
    Outcome,
    v=st.just(1),
    epoch=EPOCHS,
    boot=NUMBERS,
    seq=NUMBERS,
    prev=COUNTS,
    at_ms=MILLIS,
    sent_ms=MILLIS,
    command=IDS,
    verb=st.sampled_from(Verb),
    step=st.sampled_from(Step),
    reason=st.sampled_from(OutcomeReason),
    missing=st.lists(RANGES, max_size=50),
)
HELLOS = st.builds(
    Hello,
    v=st.just(1),
    device_class=st.from_regex(r"[a-z0-9_]{1,40}", fullmatch=True),
    room=NAMES,
    os=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80),
    agent=st.just("0.1.0"),
    mac=maybe(st.from_regex(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", fullmatch=True)),
    epoch=EPOCHS,
    boot=NUMBERS,
    seq=COUNTS,
    abilities=st.lists(st.sampled_from(Verb), max_size=20),
    heartbeat_s=st.integers(1, 86_400),
    at_ms=MILLIS,
)
NOTES = st.builds(
    PresenceNote,
    v=st.just(1),
    presence=st.sampled_from(PresenceWord),
    cause=st.sampled_from(sorted(LEAVING_CAUSES)),
    epoch=EPOCHS,
    boot=NUMBERS,
    link=NUMBERS,
    at_ms=MILLIS,
)
COMMANDS = st.builds(
    Command,
    v=st.just(1),
    id=IDS,
    device=st.builds("{}/{}".format, NAMES, NAMES),
    verb=st.sampled_from(Verb),
    issued_ms=st.integers(0, 2_000_000_000_000),
    expires_ms=st.integers(2_000_000_000_000, 4_102_444_800_000),
    cause=st.sampled_from(Cause),
    warn_s=st.integers(0, 3600),
    warn_text=st.sampled_from(WarnText),
    idle_at_least_s=SECONDS,
    target=maybe(IDS),
    ranges=st.lists(RANGES, max_size=50),
    macs=st.lists(st.from_regex(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", fullmatch=True), max_size=64),
)
KEY = signing.new_key()
KEYS = {signing.key_id(KEY.verify_key): KEY.verify_key}


def _json_values(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | floats | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
        max_leaves=20,
    )


JSON_VALUES = _json_values(st.floats())
FINITE_VALUES = _json_values(st.floats(allow_nan=False, allow_infinity=False))  # JSON itself has no infinity


@given(REPORTS)
def test_a_report_is_read_as_it_was_written(report: Report) -> None:
    assert messages.decode(Kind.REPORT, messages.encode(report)) == report


def _older(name: str) -> Any:
    """A field of a report with its type and default, for readers that know not all of them."""
    info = next(info for info in msgspec.structs.fields(Report) if info.name == name)
    return (name, info.type) if info.required else (name, info.type, info.default)


KNOWN = [info.name for info in msgspec.structs.fields(Report) if info.name != "stay_s"]
OLD_REPORT = msgspec.defstruct("Report", [_older(name) for name in KNOWN], kw_only=True)
"""A report as readers knew it before somebody at a machine could ask that the room be kept on."""


@given(REPORTS)
def test_a_reader_that_does_not_know_of_stays_reads_the_rest_of_the_report(report: Report) -> None:
    old = msgspec.json.decode(messages.encode(report), type=OLD_REPORT)
    assert [getattr(old, name) for name in KNOWN] == [getattr(report, name) for name in KNOWN]


def test_a_report_of_an_older_agent_asks_for_no_stay_and_an_ordinary_one_has_no_such_key() -> None:
    assert b"stay_s" not in messages.encode(REPORT)
    read = messages.decode(Kind.REPORT, messages.encode(REPORT))
    assert isinstance(read, Report)
    assert read.stay_s is msgspec.UNSET


@given(OUTCOMES)
def test_an_outcome_is_read_as_it_was_written(outcome: Outcome) -> None:
    assert messages.decode(Kind.OUTCOME, messages.encode(outcome)) == outcome


@given(HELLOS)
def test_a_hello_is_read_as_it_was_written(hello: Hello) -> None:
    assert messages.decode(Kind.HELLO, messages.encode(hello)) == hello


@given(NOTES)
def test_a_presence_note_is_read_as_it_was_written(note: PresenceNote) -> None:
    assert messages.decode(Kind.PRESENCE, messages.encode(note)) == note


@given(COMMANDS)
def test_a_signed_command_is_proven_and_read_as_it_was_written(command: Command) -> None:
    signed = signing.sign(command, KEY)
    assert signing.verify(signed, KEYS, command.device, max(0, command.expires_ms - 1)) == command


@given(NAMES, NAMES, st.sampled_from(Kind))
def test_a_topic_is_read_as_it_was_written(school: str, device: str, kind: Kind) -> None:
    address = Address(school, device)
    assert topics.parse(address.topic(kind)) == (address, kind)
    assert topics.address(str(address)) == address


@given(st.sampled_from(Kind), st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_message_or_a_contract_error(kind: Kind, payload: bytes) -> None:
    try:
        message = messages.decode(kind, payload)
    except ContractError as error:
        assert error.reason
    else:
        assert messages.decode(kind, messages.encode(message)) == message


@given(st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_command_or_a_contract_error(payload: bytes) -> None:
    try:
        messages.decode_command(payload)
    except ContractError as error:
        assert error.reason


@given(REPORTS, st.integers(0, 600), st.binary(min_size=1, max_size=4))
def test_a_damaged_report_is_a_report_or_a_contract_error(report: Report, place: int, noise: bytes) -> None:
    payload = bytearray(messages.encode(report))
    place %= len(payload)
    payload[place : place + len(noise)] = noise
    try:
        messages.decode(Kind.REPORT, bytes(payload))
    except ContractError as error:
        assert error.reason


@given(st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused_as_a_signed_command_with_a_reason(payload: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        signing.verify(payload, KEYS, "ash/pc-1", 1)
    assert caught.value.refusal in set(OutcomeReason)


@given(COMMANDS, st.integers(0, 10_000), st.integers(1, 255))
def test_a_signed_command_with_one_byte_changed_never_becomes_another_command(
    command: Command, place: int, flip: int
) -> None:
    payload = bytearray(signing.sign(command, KEY))
    payload[place % len(payload)] ^= flip
    try:
        proven = signing.verify(bytes(payload), KEYS, command.device, max(0, command.expires_ms - 1))
    except CommandError:
        return
    assert proven == command  # the change fell on something that carries no meaning


@given(st.text(max_size=60))
def test_any_topic_is_one_of_ours_or_a_contract_error(topic: str) -> None:
    try:
        address, kind = topics.parse(topic)
    except ContractError as error:
        assert error.field == "topic"
    else:
        assert address.topic(kind) == topic


@given(st.text(max_size=40))
def test_no_name_can_hold_a_separator_or_a_wildcard(text: str) -> None:
    if topics.is_name(text):
        assert not set(text) & set("/+#\0\n ")


@given(REPORTS, st.dictionaries(st.from_regex(r"x_[a-z]{1,10}", fullmatch=True), FINITE_VALUES, max_size=3))
def test_keys_of_a_newer_agent_are_ignored(report: Report, extra: dict[str, Any]) -> None:
    raw = json.loads(messages.encode(report))
    raw |= extra
    raw["meters"] |= extra
    raw["gauges"] |= extra
    payload = json.dumps(raw).encode()
    if len(payload) <= messages.MAX_BYTES:
        assert messages.decode(Kind.REPORT, payload) == report


@dataclass(frozen=True)
class Bad:
    kind: Kind
    path: str
    value: Any


REPORT = Report(
    epoch="00000001",
    boot=2,
    seq=3,
    prev=4,
    at_ms=5,
    sent_ms=6,
    state=PowerState.IDLE,
    was=PowerState.IN_USE,
    cause=Cause.NO_INPUT,
    meters=Meters(in_use_s=1, idle_s=2, asleep_s=3),
)
OUTCOME = Outcome(
    epoch="00000001", boot=1, seq=1, prev=0, at_ms=1, sent_ms=1, command="0" * 32, verb=Verb.SLEEP, step=Step.DONE
)
HELLO = Hello(device_class="desktop", room="ict1", epoch="00000001", boot=1, seq=0, at_ms=1)
NOTE = PresenceNote(presence=PresenceWord.LOST, epoch="00000001", boot=1, link=1, at_ms=1)
GOOD: dict[Kind, messages.Message] = {
    Kind.REPORT: REPORT,
    Kind.OUTCOME: OUTCOME,
    Kind.HELLO: HELLO,
    Kind.PRESENCE: NOTE,
}
BAD = [
    Bad(Kind.REPORT, "v", 2),
    Bad(Kind.REPORT, "epoch", "XYZ"),
    Bad(Kind.REPORT, "boot", 0),
    Bad(Kind.REPORT, "seq", 0),
    Bad(Kind.REPORT, "seq", "7"),
    Bad(Kind.REPORT, "prev", -1),
    Bad(Kind.REPORT, "at_ms", 10**15),
    Bad(Kind.REPORT, "state", "lost"),
    Bad(Kind.REPORT, "state", "asleepish"),
    Bad(Kind.REPORT, "cause", "because"),
    Bad(Kind.REPORT, "meters.idle_s", -1),
    Bad(Kind.REPORT, "stay_s", 299),
    Bad(Kind.REPORT, "stay_s", 14_401),
    Bad(Kind.REPORT, "stay_s", "always"),
    Bad(Kind.REPORT, "meters.in_use_s", 1.5),
    Bad(Kind.REPORT, "gauges.cpu_ratio", 1.01),
    Bad(Kind.REPORT, "gauges.watts", -0.1),
    Bad(Kind.REPORT, "gauges.session", "Ann"),
    Bad(Kind.OUTCOME, "command", "short"),
    Bad(Kind.OUTCOME, "step", "perhaps"),
    Bad(Kind.OUTCOME, "missing", [["00000001", 1, 9, 3]]),
    Bad(Kind.HELLO, "room", "ICT/1"),
    Bad(Kind.HELLO, "mac", "00:11:22:33:44"),
    Bad(Kind.HELLO, "os", "tab\tbed"),
    Bad(Kind.HELLO, "heartbeat_s", 0),
    Bad(Kind.PRESENCE, "link", 0),
    Bad(Kind.PRESENCE, "presence", "away"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.kind.value}-{bad.path}-{bad.value}")
def test_a_bad_value_is_refused_by_the_name_of_its_field(bad: Bad) -> None:
    raw = json.loads(messages.encode(GOOD[bad.kind]))
    *outer, last = bad.path.split(".")
    inner = raw
    for key in outer:
        inner = inner.setdefault(key, {})
    inner[last] = bad.value
    with pytest.raises(ContractError) as caught:
        messages.decode(bad.kind, json.dumps(raw).encode())
    assert caught.value.field == bad.path


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_every_missing_key_that_is_needed_is_named(kind: Kind) -> None:
    raw = json.loads(messages.encode(GOOD[kind]))
    needed = [info.name for info in msgspec.structs.fields(type(GOOD[kind])) if info.required]
    assert needed
    for name in needed:
        with pytest.raises(ContractError, match=name):
            messages.decode(kind, json.dumps({key: value for key, value in raw.items() if key != name}).encode())


def test_leaving_needs_a_reason_to_leave() -> None:
    raw = msgspec.structs.replace(NOTE, presence=PresenceWord.LEAVING, cause=Cause.HEARTBEAT)
    with pytest.raises(ContractError) as caught:
        messages.decode(Kind.PRESENCE, messages.encode(raw))
    assert caught.value.field == "cause"


def test_the_first_boot_has_none_before_it() -> None:
    with pytest.raises(ContractError) as caught:
        messages.decode(Kind.REPORT, messages.encode(msgspec.structs.replace(REPORT, boot=1)))
    assert caught.value.field == "prev"


def test_a_message_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(ContractError, match="at most"):
        messages.decode(Kind.REPORT, b"[" * (messages.MAX_BYTES + 1))


def test_deep_nesting_is_a_contract_error_and_not_the_end_of_the_process() -> None:
    for payload in (b"[" * messages.MAX_BYTES, b'{"x":' * 3000):
        with pytest.raises(ContractError):
            messages.decode(Kind.REPORT, payload)


def test_a_command_is_no_message_of_a_device() -> None:
    with pytest.raises(ContractError) as caught:
        messages.decode(Kind.COMMAND, b"{}")
    assert caught.value.field == "topic"


COMMAND = Command(id="a" * 32, device="ash/pc-1", verb=Verb.SHUT_DOWN, issued_ms=1_000_000, expires_ms=1_600_000)
NOW_MS = 1_100_000


def refusal(payload: bytes, device: str = "ash/pc-1", now_ms: int = NOW_MS) -> str:
    with pytest.raises(CommandError) as caught:
        signing.verify(payload, KEYS, device, now_ms)
    return caught.value.refusal


def test_a_command_of_an_unknown_key_is_refused() -> None:
    assert refusal(signing.sign(COMMAND, signing.new_key())) == OutcomeReason.UNKNOWN_KEY


def test_a_command_with_another_ones_signature_is_refused() -> None:
    real = json.loads(signing.sign(COMMAND, KEY))
    other = json.loads(signing.sign(msgspec.structs.replace(COMMAND, verb=Verb.RESTART), KEY))
    real["body"] = other["body"]
    assert refusal(json.dumps(real).encode()) == OutcomeReason.BAD_SIGNATURE


def test_a_bare_signature_of_the_body_without_the_prefix_is_refused() -> None:
    body = messages.encode(COMMAND)
    forged = {
        "key": signing.key_id(KEY.verify_key),
        "body": base64.b64encode(body).decode(),
        "signature": base64.b64encode(KEY.sign(body).signature).decode(),
    }
    assert refusal(json.dumps(forged).encode()) == OutcomeReason.BAD_SIGNATURE


def test_a_command_for_another_machine_is_refused() -> None:
    assert refusal(signing.sign(COMMAND, KEY), device="ash/pc-2") == OutcomeReason.WRONG_TARGET


def test_a_command_is_refused_from_its_expiry_on() -> None:
    signed = signing.sign(COMMAND, KEY)
    assert signing.verify(signed, KEYS, "ash/pc-1", COMMAND.expires_ms - 1) == COMMAND
    assert refusal(signed, now_ms=COMMAND.expires_ms) == OutcomeReason.EXPIRED


def test_a_command_of_the_future_is_refused_beyond_the_clocks_tolerance() -> None:
    signed = signing.sign(COMMAND, KEY)
    early_ms = COMMAND.issued_ms - signing.CLOCK_TOLERANCE_MS
    assert signing.verify(signed, KEYS, "ash/pc-1", early_ms) == COMMAND
    assert refusal(signed, now_ms=early_ms - 1) == OutcomeReason.NOT_YET


def test_a_public_key_that_is_none_is_a_contract_error() -> None:
    for text in ("", "zz", "ab" * 31):
        with pytest.raises(ContractError):
            signing.read_public(text)
    assert signing.read_public(signing.public_text(KEY)) == KEY.verify_key
