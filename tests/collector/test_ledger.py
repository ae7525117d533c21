"""What became of a command: steps in any order, late ones, forged ones, and none at all."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from caretaker_collector import people, state
from caretaker_collector.ledger import Ledger, LedgerCommand
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_contract.messages import Command, Outcome, OutcomeReason, Step, Verb
from caretaker_contract.topics import Address
from worlds import NOW_MS

PC = Address("ash", "pc-001")


class Book:
    """A ledger on disk; `ask` writes a command, `tell` an outcome of it."""

    def __init__(self, path: Path) -> None:
        self.db = state.open_state(path)
        self.memory = Memory()
        self.ledger = Ledger(self.db, self.memory)
        self._seq = 0

    def ask(self, number: int, at_ms: int = NOW_MS) -> str:
        """A shut-down decided at `at_ms`; returns its id."""
        command = Command(
            id=f"{number:032x}", device=str(PC), verb=Verb.SHUT_DOWN, issued_ms=at_ms, expires_ms=at_ms + 90_000
        )
        batch = Batch(now_ms=at_ms, records=[], tick=True, position=0)
        batch.commands = [LedgerCommand(command=command, address=PC, room="ict1", rule="after-hours")]
        self.ledger.write(batch)
        return command.id

    def tell(
        self, command: str, *steps: Step, reason: OutcomeReason = OutcomeReason.NONE, verb: Verb = Verb.SHUT_DOWN
    ) -> dict[str, int]:
        """Outcomes that arrive in this order; what is counted of them."""
        batch = Batch(now_ms=NOW_MS, records=[], tick=False, position=0)
        for step in steps:
            self._seq += 1
            outcome = Outcome(
                epoch="0" * 8,
                boot=1,
                seq=self._seq,
                prev=0,
                at_ms=NOW_MS,
                sent_ms=NOW_MS,
                command=command,
                verb=verb,
                step=step,
                reason=reason,
            )
            batch.outcomes.append((PC, outcome))
            self.ledger.hear(PC, outcome)
        self.ledger.write(batch)
        return dict(batch.counts)

    def status(self, command: str) -> str:
        """As it stands on disk."""
        return str(self.db.execute("SELECT status FROM commands WHERE id = ?", (command,)).fetchone()[0])

    @property
    def step(self) -> Step | None:
        """As the rules see it."""
        return self.memory.asked[PC].step


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """An empty ledger."""
    return Book(tmp_path / "state.db")


@pytest.mark.parametrize("order", list(itertools.permutations([Step.RECEIVED, Step.WARNED, Step.DONE])))
def test_steps_in_any_order_end_the_same(book: Book, order: Sequence[Step]) -> None:
    """Invariant I2, for outcomes."""
    command = book.ask(1)
    book.tell(command, *order)
    assert book.status(command) == "done"
    assert book.step is Step.DONE


def test_a_late_word_of_an_old_command_is_not_about_the_new_one(book: Book) -> None:
    """Else a machine that vetoed last week would count as answered today."""
    old = book.ask(1)
    new = book.ask(2, NOW_MS + 1000)
    book.tell(old, Step.DONE)
    assert book.step is None
    assert (book.status(old), book.status(new)) == ("done", "decided")


def test_a_forged_refusal_does_not_hide_that_a_machine_is_counting_down(book: Book) -> None:
    """Anybody who may write to the machine's topic could bear the same id; what the machine proved stands."""
    command = book.ask(1)
    book.tell(command, Step.RECEIVED, Step.WARNED)
    book.tell(command, Step.REFUSED, reason=OutcomeReason.BAD_SIGNATURE)
    assert (book.status(command), book.step) == ("warned", Step.WARNED)
    book.tell(command, Step.DONE)
    assert book.status(command) == "done"


def test_a_machine_without_our_key_is_seen_to_refuse(book: Book) -> None:
    """When it said nothing before, its refusal is the answer: its settings lack the key."""
    command = book.ask(1)
    book.tell(command, Step.REFUSED, reason=OutcomeReason.UNKNOWN_KEY)
    assert book.status(command) == "refused"


def test_deciding_the_same_again_makes_no_second_command(book: Book) -> None:
    """The journal may be replayed; the id is the same, so the row is too."""
    command = book.ask(1)
    book.ledger.mark(command, "sending", NOW_MS)
    book.ask(1)
    assert book.status(command) == "sending"
    assert book.ledger.to_send(NOW_MS) == []


def test_a_restart_knows_what_was_asked(book: Book, tmp_path: Path) -> None:
    """The newest command of each machine and the sends of the last hour come back from disk."""
    book.tell(book.ask(1), Step.RECEIVED, Step.VETOED)
    book.ask(2, NOW_MS + 5000)
    again = Book(tmp_path / "state.db")
    assert again.memory.asked == book.memory.asked
    assert again.ledger.recent_sends("ash", NOW_MS + 6000) == [(NOW_MS, "ict1"), (NOW_MS + 5000, "ict1")]
    assert again.ledger.recent_sends("ash", NOW_MS + 4_000_000) == []


def test_silence_becomes_no_answer_and_unsent_becomes_expired(book: Book) -> None:
    """Nothing stays open for ever, and a machine that is counting down is given its time."""
    unsent, silent, warned = book.ask(1), book.ask(2), book.ask(3)
    book.ledger.mark(silent, "sent", NOW_MS)
    book.tell(warned, Step.RECEIVED, Step.WARNED)
    book.ledger.close_unanswered(NOW_MS + 90_000 + 119_000)
    assert [book.status(c) for c in (unsent, silent, warned)] == ["decided", "sent", "warned"]
    book.ledger.close_unanswered(NOW_MS + 90_000 + 121_000)
    assert [book.status(c) for c in (unsent, silent, warned)] == ["expired", "no_answer", "warned"]


def test_stops_of_another_process_are_seen_at_once(book: Book, tmp_path: Path) -> None:
    """`caretaker stop` writes the file; the next look of the running collector has it."""
    other = state.open_state(tmp_path / "state.db")
    people.stop(other, "ash", None, NOW_MS, "look")
    assert [(s.school, s.room, s.reason) for s in book.ledger.stops()] == [("ash", None, "look")]
    people.resume(other, "ash", None, NOW_MS)
    assert book.ledger.stops() == []


def test_without_a_signing_key_everything_is_stopped(tmp_path: Path) -> None:
    """A collector that cannot sign must not decide as if it could act."""
    ledger = Ledger(state.open_state(tmp_path / "state.db"), Memory(), may_command=False)
    assert [(s.school, s.reason) for s in ledger.stops()] == [(None, "no signing key in collector.toml")]


def test_each_command_is_counted_once_by_how_it_ended(book: Book) -> None:
    """The counters of /metrics and of the boards."""
    done, vetoed, cancelled = book.ask(1), book.ask(2), book.ask(3)
    assert book.tell(done, Step.RECEIVED, Step.WARNED) == {}
    assert book.tell(done, Step.DONE) == {"commands_done": 1}
    assert book.tell(done, Step.DONE) == {}  # told again
    assert book.tell(vetoed, Step.VETOED) == {"commands_vetoed": 1}
    assert book.tell(cancelled, Step.DONE, verb=Verb.CANCEL) == {}
    assert book.tell("f" * 32, Step.DONE) == {}  # no command of ours


def test_commands_without_an_answer_are_counted_but_not_requests_to_say_it_again(book: Book) -> None:
    for number, verb in enumerate((Verb.SHUT_DOWN, Verb.WAKE, Verb.REPLAY)):
        book.db.execute("UPDATE commands SET verb = ? WHERE id = ?", (verb.value, book.ask(number)))
    book.ledger.close_unanswered(NOW_MS + 90_000 + 121_000)
    book.ledger.close_unanswered(NOW_MS + 90_000 + 121_000)
    assert book.memory.counts["commands_unanswered"] == 2
    assert state.counters(book.db)["commands_unanswered"] == 2
