"""What was acknowledged, in which order, and what goes next."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from caretaker_agent.outbox import Cursor, Outbox
from caretaker_agent.sender import Sender
from caretaker_contract.messages import Outcome, Range, Step, Verb, encode
from caretaker_contract.topics import Address, Kind

E = "00c0ffee"


def message(seq: int) -> bytes:
    return encode(
        Outcome(epoch=E, boot=1, seq=seq, prev=0, at_ms=5, sent_ms=5, command="0" * 32, verb=Verb.WARN, step=Step.DONE)
    )


@pytest.fixture
def filled(tmp_path: Path) -> Callable[[], tuple[Outbox, Sender]]:
    def make() -> tuple[Outbox, Sender]:
        outbox = Outbox(tmp_path, 65_536)
        for seq in range(1, 6):
            outbox.append(E, 1, seq, Kind.OUTCOME, message(seq))
        return outbox, Sender(outbox, Address("ash", "pc-1"), lambda: 77)

    return make


def seqs(sender: Sender) -> list[int]:
    found = []
    while (publication := sender.next()) is not None:
        found.append(json.loads(publication.payload)["seq"])
    return found


def test_an_acknowledgement_out_of_order_waits_for_those_before_it(
    filled: Callable[[], tuple[Outbox, Sender]],
) -> None:
    outbox, sender = filled()
    sent = [sender.next() for _ in range(3)]
    sender.acknowledged(sent[2].token)  # type: ignore[union-attr]
    assert outbox.acked == Cursor(0, 0)
    sender.rewind()
    assert seqs(sender) == [1, 2, 3, 4, 5]


def test_after_a_lost_connection_it_goes_on_from_the_first_unacknowledged(
    filled: Callable[[], tuple[Outbox, Sender]],
) -> None:
    outbox, sender = filled()
    sent = [sender.next() for _ in range(4)]
    for publication in (sent[1], sent[0], sent[3]):
        sender.acknowledged(publication.token)  # type: ignore[union-attr]
    sender.rewind()
    assert seqs(sender) == [3, 4, 5]
    assert not sender.all_acknowledged
    assert outbox.dropped == 0


def test_new_messages_go_before_a_replay_and_the_replay_advances_nothing(
    filled: Callable[[], tuple[Outbox, Sender]],
) -> None:
    outbox, sender = filled()
    assert sender.replay([Range(E, 1, 2, 3), Range(E, 1, 9, 9)]) == [Range(E, 1, 9, 9)]
    assert seqs(sender) == [1, 2, 3, 4, 5, 2, 3]
    assert outbox.acked == Cursor(0, 0)


def test_the_moment_of_sending_is_stamped_when_it_is_sent(filled: Callable[[], tuple[Outbox, Sender]]) -> None:
    publication = filled()[1].next()
    assert publication is not None
    sent = json.loads(publication.payload)
    assert (sent["at_ms"], sent["sent_ms"]) == (5, 77)
    assert publication.topic == "caretaker/1/ash/pc-1/outcome"
