"""How often the collector has switched a machine in its day: counted from answers, kept over a restart."""

import pytest

from caretaker_collector import memory as memory_
from caretaker_collector import state
from caretaker_collector.calendars import Calendars
from caretaker_collector.ledger import Ledger, LedgerCommand
from caretaker_collector.pipeline import Batch
from caretaker_collector.settings import load_estate
from caretaker_collector.stages.decide import Decide
from caretaker_contract.messages import Command, Outcome, Step, Verb
from caretaker_contract.topics import Address
from worlds import make_world

DAY_MS = 86_400_000
NOON_MS = 1_791_028_800_000  # Sat 3 Oct 2026 12:00 UTC
PC = Address("ash", "pc-01")


@pytest.fixture
def book(tmp_path):
    """A ledger in a new state file."""
    db = state.open_state(tmp_path / "state.db")
    yield Ledger(db, memory_.Memory()), db
    db.close()


def batch(now_ms, commands=(), outcomes=()):
    made = Batch(now_ms=now_ms, records=[], tick=True, position=0)
    made.commands += commands
    made.outcomes += [(PC, outcome) for outcome in outcomes]
    return made


def command(number, at_ms, verb=Verb.SHUT_DOWN):
    asked = Command(id=f"{number:032x}", device=str(PC), verb=verb, issued_ms=at_ms, expires_ms=at_ms + 90_000)
    return LedgerCommand(command=asked, address=PC, room="ict1", rule="evening")


def outcome(number, at_ms, step=Step.DONE, verb=Verb.SHUT_DOWN, seq=1):
    return Outcome(
        epoch="0000abcd",
        boot=1,
        seq=seq,
        prev=0,
        at_ms=at_ms,
        sent_ms=at_ms,
        command=f"{number:032x}",
        verb=verb,
        step=step,
    )


def test_only_commands_that_were_carried_out_count_once_each(book):
    """A veto, a warning and a repeated answer are no power cycle."""
    ledger, _ = book
    ledger.write(batch(NOON_MS, [command(1, NOON_MS), command(2, NOON_MS + 1), command(3, NOON_MS + 2, Verb.WARN)]))
    done = outcome(1, NOON_MS + 5000)
    ledger.write(batch(NOON_MS, outcomes=[outcome(1, NOON_MS + 4000, Step.WARNED), done, done]))
    ledger.write(batch(NOON_MS, outcomes=[done, outcome(2, NOON_MS + 9000, Step.VETOED)]))
    ledger.write(batch(NOON_MS, outcomes=[outcome(3, NOON_MS + 9000, Step.DONE, Verb.WARN)]))
    assert ledger.cycles("ash", NOON_MS) == {PC: 1}
    assert not ledger.cycles("elm", NOON_MS)


def test_the_count_begins_anew_with_the_day_and_survives_a_restart(book):
    """Yesterday's cycles do not count; a ledger that is opened again counts the same."""
    ledger, db = book
    for number, at_ms in enumerate((NOON_MS - DAY_MS, NOON_MS, NOON_MS + 3_600_000)):
        ledger.write(batch(at_ms, [command(number, at_ms)], [outcome(number, at_ms + 1000, seq=number + 1)]))
    midnight_ms = NOON_MS - DAY_MS // 2
    assert ledger.cycles("ash", midnight_ms - DAY_MS) == {PC: 3}
    assert ledger.cycles("ash", midnight_ms) == {PC: 2}
    assert not ledger.cycles("ash", midnight_ms + DAY_MS)
    assert Ledger(db, memory_.Memory()).cycles("ash", midnight_ms) == {PC: 2}


def test_the_rules_are_told_of_todays_cycles_by_the_schools_own_midnight(book, tmp_path):
    """In London 00:30 of 4 October is a new day, although it is still the 3rd in UTC."""
    ledger, _ = book
    ledger.write(batch(NOON_MS, [command(1, NOON_MS)], [outcome(1, NOON_MS + 1000)]))
    estate = load_estate(make_world(tmp_path / "world", 1).folder / "estate.toml")
    decide = Decide(memory_.Memory(), ledger, estate, {}, Calendars(estate, tmp_path / "world"))
    assert decide.snapshot("ash", NOON_MS + 10 * 3_600_000).cycles == {PC: 1}
    assert decide.snapshot("ash", NOON_MS + 11 * 3_600_000 + 1_800_000).cycles == {}
