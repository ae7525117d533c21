"""A bad line loses, doubles and shuffles as much as it was told, and nothing else."""

from collections import Counter
from collections.abc import Callable

import pytest

from caretaker_contract.messages import Report, decode
from caretaker_contract.topics import Address, Kind, parse
from caretaker_rules.model import Estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.line import Faults
from caretaker_simulator.sent import kind_of, restamp
from caretaker_simulator.troubles import NO_TROUBLES

Moment = Callable[[str], int]
DAY = 86_400_000
Key = tuple[Address, int, int]


def heard(estate: Estate, start_ms: int, faults: Faults | None) -> list[tuple[int, Key | None]]:
    """(arrival, number) of everything that arrives in a day; None: not numbered."""
    found: list[tuple[int, Key | None]] = []
    for at_ms, topic, payload in Fleet(estate, troubles=NO_TROUBLES).play(start_ms, start_ms + DAY, faults):
        address, kind = parse(topic)
        message = decode(kind, payload)
        found.append((at_ms, (address, *message.key) if isinstance(message, Report) else None))
    return found


def numbers(arrivals: list[tuple[int, Key | None]]) -> list[Key]:
    return [key for _, key in arrivals if key is not None]


@pytest.fixture
def start(at: Moment) -> int:
    return at("2026-10-06 00:00")


def test_a_tenth_of_the_numbered_messages_vanishes_and_no_presence_note(oak: Estate, start: int) -> None:
    good, bad = heard(oak, start, None), heard(oak, start, Faults(loss_ratio=0.1))
    assert len(numbers(good)) > 5000
    assert 0.08 < 1 - len(numbers(bad)) / len(numbers(good)) < 0.12
    assert set(numbers(bad)) < set(numbers(good))
    assert len(bad) - len(numbers(bad)) == len(good) - len(numbers(good))


def test_duplicates_come_twice_and_nothing_is_missing(oak: Estate, start: int) -> None:
    good, bad = heard(oak, start, None), heard(oak, start, Faults(duplicate_ratio=0.2))
    counts = Counter(numbers(bad))
    assert set(counts) == set(numbers(good))
    assert set(counts.values()) == {1, 2}
    assert 0.17 < sum(count == 2 for count in counts.values()) / len(counts) < 0.23


def test_shuffled_messages_overtake_each_other_but_are_all_there_and_never_later_than_told(
    oak: Estate, start: int
) -> None:
    good, bad = heard(oak, start, None), heard(oak, start, Faults(shuffle_s=900))
    sent_at = {key: at_ms for at_ms, key in good if key is not None}
    arrived_at = {key: at_ms for at_ms, key in bad if key is not None}
    late = set(sent_at) - set(arrived_at)
    assert all(sent_at[key] > start + DAY - 900_000 for key in late)  # still on their way at midnight
    assert all(0 <= arrived_at[key] - sent_at[key] <= 900_000 for key in arrived_at)
    assert [at_ms for at_ms, _ in bad] == sorted(at_ms for at_ms, _ in bad)
    newest: dict[Address, tuple[int, int]] = {}
    overtaken = 0
    for address, boot, seq in numbers(bad):
        overtaken += (boot, seq) < newest.get(address, (0, 0))
        newest[address] = max((boot, seq), newest.get(address, (0, 0)))
    assert overtaken > 1000


def test_a_bad_line_is_seeded(oak: Estate, start: int) -> None:
    faults = Faults(loss_ratio=0.3, duplicate_ratio=0.3, shuffle_s=60)
    assert heard(oak, start, faults) == heard(oak, start, faults)


def test_restamping_changes_the_time_of_sending_and_nothing_else(oak: Estate, start: int) -> None:
    for _, topic, payload in Fleet(oak).play(start, start + 60_000):
        _, kind = parse(topic)
        if kind is Kind.REPORT:
            before, after = decode(kind, payload), decode(kind, restamp(payload, 5))
            assert isinstance(before, Report)
            assert isinstance(after, Report)
            assert after.sent_ms == 5
            assert restamp(restamp(payload, 5), before.sent_ms) == payload
            assert kind_of(payload) is Kind.REPORT
