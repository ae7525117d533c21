"""The rota of service reviews is fair: nobody hosts twice before everybody has, whoever comes, goes or sits out."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from caretaker_rules.rota import Meeting, after, next_meeting

SCHOOLS = "abcdefgh"


def held(rounds):
    """Meetings month by month, each among the schools of its round."""
    past, month = [], "2026-09"
    for schools in rounds:
        meeting = next_meeting(month, schools, past)
        if meeting is not None:
            past.append(meeting)
        month = after(month)
    return past


@given(st.integers(1, 8), st.integers(1, 40))
def test_the_same_schools_host_and_chair_equally_often(count, months) -> None:
    past = held([SCHOOLS[:count]] * months)
    hosts = Counter(meeting.host for meeting in past)
    assert max(hosts.values()) - min(hosts.get(name, 0) for name in SCHOOLS[:count]) <= 1
    if count > 1:
        chairs = Counter(meeting.chair for meeting in past)
        assert max(chairs.values()) - min(chairs.get(name, 0) for name in SCHOOLS[:count]) <= 1


@given(st.lists(st.sets(st.sampled_from(SCHOOLS), min_size=2), min_size=1, max_size=30))
def test_each_month_another_school_hosts_and_it_does_not_chair(rounds) -> None:
    past = held(rounds)
    for number, (meeting, schools) in enumerate(zip(past, rounds, strict=True)):
        assert {meeting.host, meeting.chair} <= schools
        assert meeting.host != meeting.chair
        if number:
            assert meeting.host != past[number - 1].host


@given(st.lists(st.sets(st.sampled_from(SCHOOLS), min_size=1), min_size=2, max_size=30))
def test_nobody_hosts_again_while_somebody_who_was_ready_waits_longer(rounds) -> None:
    past = held(rounds)
    for number, (meeting, schools) in enumerate(zip(past, rounds, strict=True)):
        last = {each.host: at for at, each in enumerate(past[:number])}
        assert all(last.get(meeting.host, -1) <= last.get(name, -1) for name in schools)


def test_a_school_that_sat_out_comes_first_when_it_is_back() -> None:
    past = held(["ab", "b", "bc", "abc"])
    assert [meeting.host for meeting in past] == ["a", "b", "c", "a"]


def test_what_was_held_counts_and_not_what_the_rota_had_in_mind() -> None:
    past = [Meeting(month="2026-09", host="b", chair="a")]
    assert next_meeting("2026-10", "ab", past) == Meeting(month="2026-10", host="a", chair="b")
    assert next_meeting("2026-09", "ab", past) == Meeting(month="2026-09", host="a", chair="b")


def test_one_school_alone_hosts_and_chairs_and_none_do_neither() -> None:
    assert next_meeting("2026-12", "a", []) == Meeting(month="2026-12", host="a", chair="a")
    assert next_meeting("2026-12", "", []) is None
    assert after("2026-12") == "2027-01"
