"""Until when somebody's "we are still here" lasts: an hour from when it was asked, by the machine's clock put right."""

from msgspec import UNSET, structs

from caretaker_contract.messages import Cause, Meters, PowerState, Report
from caretaker_rules.staying import Heard, hold_of

HOUR_MS = 3_600_000
FOUR = 16 * HOUR_MS + 1_791_000_000_000
SEVEN = FOUR + 3 * HOUR_MS


def report(at_ms: int = FOUR, sent_ms: int = FOUR, stay_s: int = 3600) -> Report:
    """A report made at `at_ms` and sent at `sent_ms`, by the machine's clock."""
    return Report(
        epoch="00000001",
        boot=1,
        seq=9,
        prev=0,
        at_ms=at_ms,
        sent_ms=sent_ms,
        state=PowerState.IDLE,
        was=PowerState.IDLE,
        cause=Cause.HEARTBEAT,
        meters=Meters(in_use_s=1, idle_s=2, asleep_s=3),
        stay_s=stay_s,
    )


def test_a_report_without_the_key_asks_for_nothing() -> None:
    heard = Heard(received_ms=FOUR, link_since_ms=1)
    assert hold_of(structs.replace(report(), stay_s=UNSET), heard) is None


def test_it_lasts_an_hour_from_when_it_was_asked() -> None:
    assert hold_of(report(), Heard(received_ms=FOUR + 40, link_since_ms=1)) == (FOUR + 40, FOUR + HOUR_MS + 40)


def test_asked_at_four_while_the_machines_line_was_cut_it_is_over_at_five_when_it_comes_at_seven() -> None:
    """The machine stamps the moment of sending, so the hours in its outbox are not taken for a wrong clock."""
    heard = Heard(received_ms=SEVEN, link_since_ms=1, known_skew_ms=3 * HOUR_MS, known_at_ms=SEVEN - 60_000)
    assert hold_of(report(sent_ms=SEVEN), heard) == (FOUR, FOUR + HOUR_MS)


def test_asked_at_four_while_we_were_away_it_is_over_at_five_when_the_broker_hands_it_over_at_seven() -> None:
    """Whatever was known before: nothing, its clock, or only what waited as long as this."""
    for known_skew_ms, known_at_ms in ((None, 0), (0, FOUR - HOUR_MS), (3 * HOUR_MS + 300_000, SEVEN + 5)):
        heard = Heard(received_ms=SEVEN + 10, link_since_ms=SEVEN, known_skew_ms=known_skew_ms, known_at_ms=known_at_ms)
        assert hold_of(report(), heard) == (FOUR, FOUR + HOUR_MS)
    down = Heard(received_ms=SEVEN, link_since_ms=0, known_skew_ms=20, known_at_ms=FOUR)
    assert hold_of(report(), down) == (FOUR + 20, FOUR + HOUR_MS + 20)


def test_a_clock_that_is_three_hours_slow_does_not_cost_the_people_in_the_room_their_hour() -> None:
    """Nothing can have waited for us: our link stood long before, or the clock was as slow when we knew it before."""
    slow = report(FOUR - 3 * HOUR_MS, FOUR - 3 * HOUR_MS)
    standing = Heard(received_ms=FOUR, link_since_ms=FOUR - 5 * HOUR_MS)
    known = Heard(
        received_ms=FOUR, link_since_ms=FOUR - 9_000, known_skew_ms=3 * HOUR_MS, known_at_ms=FOUR - 2 * HOUR_MS
    )
    up_for_a_while = Heard(received_ms=FOUR, link_since_ms=FOUR - 900_000)
    for heard in (standing, known, up_for_a_while):
        assert hold_of(slow, heard) == (FOUR, FOUR + HOUR_MS)


def test_a_clock_that_is_three_hours_fast_holds_no_longer_than_an_hour() -> None:
    fast = report(SEVEN, SEVEN)
    assert hold_of(fast, Heard(received_ms=FOUR, link_since_ms=FOUR - 5)) == (FOUR, FOUR + HOUR_MS)
    strange = report(at_ms=SEVEN, sent_ms=FOUR)  # made after it was sent: the clock was set in between
    assert hold_of(strange, Heard(received_ms=FOUR, link_since_ms=1)) == (FOUR, FOUR + HOUR_MS)
