"""What people read: single messages, groups and the daily digest, word for word."""

from alert_world import CLOCK, DEVICES, MONDAY, World, at, settings_of
from caretaker_rules import alert_text
from caretaker_rules.alert_steps.digest import Seen, digest, due, ids
from caretaker_rules.alerting import Round, Telling
from rules_world import SCHOOL

SETTINGS = """
default = ["desk"]
[[channels]]
name = "desk"
kind = "file"
path = "desk.log"
[[channels]]
name = "head"
kind = "file"
path = "head.log"
[[digests]]
channels = ["desk", "head"]
[[digests]]
at = "16:00"
days = "fri"
channels = ["head"]
schools = ["elm"]
"""


def told(*events: str, when: str) -> list[Telling]:
    """What is told at one look after these events."""
    world = World(settings_of(SETTINGS))
    for words in events:
        world.happens(words)
    return world.look(at(when))


def test_a_message_says_what_where_since_when_how_urgent_and_how_to_see_why() -> None:
    """One incident, half a minute old."""
    (telling,) = told("tue 09:00 opened 12 P1 ict1-01", when="tue 09:00:30")
    assert telling.title == "P1 Ashfield Secondary: ict1-01 is not well (INC-12)"
    assert (
        telling.body.splitlines()
        == [
            "What      ict1-01 is not well",
            "Where     Ashfield Secondary, room ict1, ict1-01",
            "Since     Tue 24 Nov 08:59 (1 min ago)",
            "Priority  P1: a room is hit, no alternative",
            "Answer    due Tue 09:30 (29 min left)",
            "Fix       due Tue 13:00 (3 h 59 min left)",
            "State     open, nobody has acknowledged it",
            "Why       caretaker incident 12",
        ]
        or telling.body.splitlines()[6] == "State     nobody has acknowledged it"
    )


def test_a_group_is_a_list_that_begins_with_the_most_urgent() -> None:
    """One message; the rows of the others only say that it tells of them."""
    first, second = told("tue 09:00 opened 1 P3 ict1", "tue 08:50 opened 2 P3 office", when="tue 09:30")
    assert (first.title, second.title) == ("2 incidents at Ashfield Secondary, P3", "")
    assert (first.uid, second.uid, second.within) == ("u2", "u1", first.id)
    assert first.body.splitlines() == [
        "INC-2  P3  Tue 24 Nov 08:49  office is not well; fix due Wed 25 Nov 15:50 (15 h 20 min left)",
        "INC-1  P3  Tue 24 Nov 08:59  ict1 is not well; fix due Wed 25 Nov 16:00 (15 h 30 min left)",
        "",
        "All of them: caretaker incidents ash",
        "One of them: caretaker incident NUMBER",
    ]


def test_of_a_long_group_the_first_are_listed() -> None:
    """Nobody reads more than twenty lines."""
    (first, *_) = told(*(f"tue 09:00 opened {number} P2 ict1" for number in range(1, 31)), when="tue 09:01")
    assert first.title == "30 incidents at Ashfield Secondary, P2"
    assert first.body.splitlines()[alert_text.MOST_LISTED] == "and 10 more"


def test_the_end_says_how_long_it_lasted() -> None:
    """And by whom, when a person ended it."""
    world = World(settings_of(SETTINGS))
    world.happens("tue 09:00 opened 1 P1 ict1")
    world.look(at("tue 09:01"))
    world.happens("tue 10:20 fixed 1")
    (telling,) = world.look(at("tue 10:21"))
    assert telling.title == "fixed: P1 Ashfield Secondary: ict1 is not well (INC-1)"
    assert "Fixed     Tue 24 Nov 10:20, after 1 h 21 min" in telling.body
    assert "Fix       fixed after 1 h 20 min of 4 h" in telling.body
    assert "State" not in telling.body


def test_of_caretaker_itself_the_message_says_so() -> None:
    """There is no school, and no clock."""
    world = World(settings_of(SETTINGS))
    world.happens("tue 09:00 opened 1 - ash broker_silent")
    incident = next(iter(world.incidents().values()))
    look = Round(now_ms=at("tue 09:01"), school=None, devices={}, findings=[], alerts=world.alerts)
    assert alert_text.where(incident, look) == "Caretaker itself"
    assert alert_text.group_title([(incident, alert_text.What.OPENED)] * 2, None) == "2 incidents at Caretaker itself"


def test_where_names_the_room_of_a_machine_and_counts_what_is_hit() -> None:
    """By the register."""
    world = World(settings_of(SETTINGS))
    world.happens("tue 09:00 opened 1 P1 ict1-sw link_down")
    incident = next(iter(world.incidents().values()))
    look = Round(now_ms=at("tue 09:01"), school=SCHOOL, devices=DEVICES, findings=[], alerts=world.alerts)
    assert alert_text.where(incident, look) == "Ashfield Secondary, room ict1, ict1-sw"


def test_the_digest_tells_what_is_open_by_time_left_what_was_fixed_and_the_rest() -> None:
    """Waiting for the customer stands last; what is for information has a section of its own."""
    world = World(settings_of(SETTINGS))
    for words in (
        "mon 09:00 opened 1 P3 ict1",
        "mon 11:00 opened 2 P2 office",
        "mon 12:00 acknowledged 2",
        "mon 09:00 opened 3 P1 hall",
        "mon 09:10 paused 3",
        "mon 13:00 opened 4 P1 ict1-01",
        "mon 14:00 fixed 4",
        "mon 06:00 opened 5 P1 ict1-02",
        "mon 07:00 fixed 5",
        "mon 15:00 opened 6 P4 ash disk_full",
        "mon 16:00 opened 7 P3 office-01 cannot_wake",
    ):
        world.happens(words)
    now_ms = at("tue 07:40")
    (which,) = due(world.alerts, now_ms)
    seen = [Seen(SCHOOL, list(world.incidents().values()), CLOCK), Seen(None, [])]
    first, second = digest(world.alerts, which, seen, now_ms)
    assert (first.channel, second.channel, first.body == second.body) == ("desk", "head", True)
    assert first.title == "Caretaker on Tuesday 24 November: 3 open, 1 fixed, 2 for information"
    assert first.body.splitlines() == [
        "Open, least time left first (3)",
        "  INC-2  P2  Ashfield Secondary: office is not well; due Tue 10:00 (2 h left); ann",
        "  INC-1  P3  Ashfield Secondary: ict1 is not well; due Tue 16:00 (8 h left); nobody has acknowledged it",
        "  INC-3  P1  Ashfield Secondary: hall is not well; waiting for the customer, 3 h 50 min left; "
        "nobody has acknowledged it",
        "",
        "Fixed since Mon 23 Nov 07:30 (1)",
        "  INC-4  P1  Ashfield Secondary: ict1-01 is not well; Mon 23 Nov 14:00, after 1 h 1 min",
        "",
        "For information (1)",
        "  INC-6  P4  Ashfield Secondary: the school is not well; since Mon 23 Nov 14:59; nobody has acknowledged it",
        "",
        "Cannot be woken (1)",
        "  INC-7  P3  Ashfield Secondary: office-01 is not well; due Wed 25 Nov 14:00 (15 h left); "
        "nobody has acknowledged it",
        "",
        "More: caretaker incidents",
    ]


def test_a_digest_is_due_from_its_time_to_the_end_of_its_day_and_on_its_days_only() -> None:
    """On Monday it reaches back to Friday; the id is that of the day, however late it goes out."""
    alerts = settings_of(SETTINGS)
    assert due(alerts, at("tue 07:29:59")) == []
    assert due(alerts, at("sat 12:00")) == []
    (monday,) = due(alerts, at("mon 23:59"))
    assert (monday.day, monday.from_ms) == (MONDAY, at("mon 07:30") - 3 * 86_400_000)
    assert [which.number for which in due(alerts, at("fri 16:00"))] == [0, 1]
    early, late = due(alerts, at("wed 08:00"))[0], due(alerts, at("wed 20:00"))[0]
    assert ids(alerts, early) == ids(alerts, late) != ids(alerts, monday)


def test_a_digest_of_some_schools_leaves_out_the_others_and_caretaker_itself() -> None:
    """Nothing to tell is told too: it says that somebody looked."""
    world = World(settings_of(SETTINGS))
    world.happens("fri 09:00 opened 1 P1 ict1")
    which = due(world.alerts, at("fri 16:00"))[1]
    (only,) = digest(world.alerts, which, [Seen(SCHOOL, list(world.incidents().values()), CLOCK)], at("fri 16:00"))
    assert only.title == "Caretaker on Friday 27 November: 0 open, 0 fixed"
    assert only.body == "Nothing is open, and nothing was fixed.\n\nMore: caretaker incidents"
