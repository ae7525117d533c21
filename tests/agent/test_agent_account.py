"""What a machine says of itself over restarts and reboots, and in which order it is kept."""

from pathlib import Path

import pytest

from caretaker_agent import memory
from caretaker_agent.account import Account, restamped
from caretaker_agent.meters import Reading
from caretaker_agent.obey import Say
from caretaker_agent.outbox import Cursor, Outbox
from caretaker_agent.probe import Look
from caretaker_agent.settings import Broker, Settings
from caretaker_contract import messages
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, PowerState, Report, Step, Verb
from caretaker_contract.topics import Kind


def settings(folder: Path) -> Settings:
    return Settings(
        school="ash",
        device="pc-1",
        room="ict1",
        device_class="desktop",
        broker=Broker(host="127.0.0.1"),
        state_dir=str(folder),
    )


def seen(awake_s: float, asleep_s: float = 0.0, age_s: float | None = 2000.0) -> Look:
    return Look(Reading(awake_s, awake_s + asleep_s), age_s)


def beat(account: Account, look: Look) -> Report:
    state = account.count(look)
    return account.report(state, account.told, Cause.HEARTBEAT, look, 1, 1_000)


def kept(folder: Path) -> list[tuple[int, int]]:
    return [(record.boot, record.seq) for record in Outbox(folder / "outbox", 65_536).read(Cursor())]


def test_a_restart_within_a_boot_goes_on_with_numbers_and_meters(tmp_path: Path) -> None:
    first = Account(settings(tmp_path), "a", seen(100))
    assert beat(first, seen(160)).meters.idle_s == 60
    again = Account(settings(tmp_path), "a", seen(400))
    assert (again.first_cause, again.told) == (Cause.AGENT_START, PowerState.IDLE)
    report = beat(again, seen(400))
    assert (report.boot, report.seq, report.prev) == (1, 2, 0)
    assert report.meters.idle_s == 300, "the machine was on while the agent was not"


def test_a_reboot_counts_the_time_since_it_was_started_and_names_the_last_number_before(tmp_path: Path) -> None:
    first = Account(settings(tmp_path), "a", seen(100))
    for second in (110, 120, 130):
        beat(first, seen(second))
    again = Account(settings(tmp_path), "b", seen(25, age_s=3))
    assert (again.first_cause, again.told) == (Cause.BOOT, PowerState.OFF)
    report = beat(again, seen(25, age_s=3))
    assert (report.boot, report.seq, report.prev) == (2, 1, 3)
    assert (report.meters.idle_s, report.meters.in_use_s) == (30, 25)


def test_sleep_while_the_agent_was_away_is_on_the_meter(tmp_path: Path) -> None:
    beat(Account(settings(tmp_path), "a", seen(100)), seen(100))
    again = Account(settings(tmp_path), "a", seen(200, asleep_s=5000))
    assert beat(again, seen(200, asleep_s=5000)).meters.asleep_s == 5000


def test_a_boot_that_never_got_to_say_anything_leaves_no_gap(tmp_path: Path) -> None:
    first = Account(settings(tmp_path), "a", seen(100))
    beat(first, seen(100))
    silent = Account(settings(tmp_path), "b", seen(5))
    silent.save()
    third = Account(settings(tmp_path), "c", seen(5))
    report = beat(third, seen(5))
    assert (report.boot, report.seq, report.prev) == (2, 1, 1)


@pytest.mark.parametrize("damage", ["missing", "empty", "flipped", "cut", "other"])
def test_without_its_memory_a_machine_begins_a_new_epoch(tmp_path: Path, damage: str) -> None:
    first = Account(settings(tmp_path), "a", seen(100))
    old = beat(first, seen(100))
    path = tmp_path / "memory.json"
    good = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = good[:40] + bytes([good[40] ^ 1]) + good[41:]
        path.write_bytes({"empty": b"", "flipped": flipped, "cut": good[:-9], "other": b"00000000 {}"}[damage])
    again = Account(settings(tmp_path), "a", seen(500))
    report = beat(again, seen(500))
    assert report.epoch != old.epoch
    assert (report.boot, report.seq, report.prev) == (1, 1, 0)
    assert report.meters.idle_s == 0, "what was before this epoch is not claimed"
    assert kept(tmp_path) == [(1, 1), (1, 1)], "what the old epoch had to say is still kept"


def test_dying_between_memory_and_outbox_neither_skips_nor_reuses_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account(settings(tmp_path), "a", seen(100))
    beat(account, seen(100))

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(account.outbox, "append", killed)
    with pytest.raises(Killed):
        beat(account, seen(150))
    again = Account(settings(tmp_path), "a", seen(160))
    assert beat(again, seen(160)).seq == 2
    assert kept(tmp_path) == [(1, 1), (1, 2)]


def test_dying_right_after_the_outbox_neither_skips_nor_reuses_a_number_nor_lets_a_meter_fall(tmp_path: Path) -> None:
    account = Account(settings(tmp_path), "a", seen(100))
    beat(account, seen(100))
    told = account.report(PowerState.IN_USE, PowerState.IDLE, Cause.INPUT, seen(180, age_s=1), 1, 1_000)
    # The memory was written before the message: it does not know number 2 yet.
    assert memory.load(tmp_path / "memory.json").seq == 1  # type: ignore[union-attr]
    again = Account(settings(tmp_path), "a", seen(185, age_s=6))
    assert again.told is PowerState.IN_USE, "what was said last is known from the outbox"
    report = beat(again, seen(185, age_s=6))
    assert report.seq == 3
    assert report.meters.in_use_s >= told.meters.in_use_s
    assert report.meters.idle_s >= told.meters.idle_s


def test_a_disk_that_refuses_numbers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(settings(tmp_path), "a", seen(100))
    beat(account, seen(100))

    def full(*_: object) -> None:
        raise Unavailable("disk full")

    monkeypatch.setattr(account.outbox, "append", full)
    with pytest.raises(Unavailable):
        beat(account, seen(150))
    monkeypatch.undo()
    assert beat(account, seen(160)).seq == 2


def test_outcomes_and_reports_share_one_row_of_numbers(tmp_path: Path) -> None:
    account = Account(settings(tmp_path), "a", seen(100))
    beat(account, seen(100))
    assert account.outcome(Say("0" * 32, Verb.WARN, Step.DONE), 5).seq == 2
    assert beat(account, seen(101)).seq == 3


def test_sending_again_changes_only_the_moment_of_sending(tmp_path: Path) -> None:
    account = Account(settings(tmp_path), "a", seen(100))
    report = beat(account, seen(100))
    again = messages.decode(Kind.REPORT, restamped(Kind.REPORT, messages.encode(report), 9_999))
    assert isinstance(again, Report)
    assert (again.at_ms, again.sent_ms, again.key) == (report.at_ms, 9_999, report.key)


def test_connections_are_counted_within_a_boot_also_over_restarts(tmp_path: Path) -> None:
    first = Account(settings(tmp_path), "a", seen(100))
    beat(first, seen(100))
    assert [first.next_link(), first.next_link()] == [1, 2]
    assert Account(settings(tmp_path), "a", seen(200)).next_link() == 3
    assert Account(settings(tmp_path), "b", seen(5)).next_link() == 1


def test_a_memory_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    account = Account(settings(tmp_path), "a", seen(100))
    (tmp_path / "memory.new").mkdir()
    with pytest.raises(Unavailable, match=r"memory\.json"):
        account.save()
