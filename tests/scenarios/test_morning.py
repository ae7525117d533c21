"""A Tuesday morning in many schools at once, and once more with a collector that is killed in the middle of it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Action, Status
from caretaker_simulator.story import FaultKind
from scenario import Arrived, Play, machines, of_network, performing, school

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LATE_S = 420
"""A killed collector may need seven minutes of a play, ten seconds of the world, until it sees and tells again."""

MATRIX = """
matrix = [
  { impact = "school", alternative = false, priority = 1 }, { impact = "school", alternative = true, priority = 1 },
  { impact = "room", alternative = false, priority = 2 }, { impact = "room", alternative = true, priority = 2 },
  { impact = "device", alternative = false, priority = 3 }, { impact = "device", alternative = true, priority = 3 },
]
"""
SERVICE = "".join(
    f'[[levels]]\nname = "{name}"\nhours = ["mon-fri 08:00-17:00"]\navailability_target = 0.99\npriorities = [\n'
    + "".join(f'  {{ priority = {n}, respond = "{fix}", fix = "{fix}" }},\n' for n in (1, 2, 3))
    + f"]\n{MATRIX}"
    for name, fix in (("test", "8 h"), ("quick", "16 min"))
)
ALERTS = """
default = ["desk", "hook"]
[find]
gone_for = "4 min"
[find.silence]
database = "2 min"
[grouping]
wait = "15 s"
[[channels]]
name = "desk"
kind = "mail"
url = "{smtp}"
to = ["desk@example.org"]
from = "caretaker@example.org"
[[channels]]
name = "hook"
kind = "webhook"
url = "{hook}"
secret_file = "secret"
[[channels]]
name = "head"
kind = "mail"
url = "{smtp}"
to = ["head@example.org"]
from = "caretaker@example.org"
[[channels]]
name = "night"
kind = "mail"
url = "{smtp}"
to = ["night@example.org"]
from = "caretaker@example.org"
quiet = ["mon-fri 00:00-09:15"]
critical_breaks_quiet = false
[[routes]]
schools = ["gorse"]
channels = ["night"]
[[escalations]]
name = "nobody-answers"
schools = ["hazel", "ivy"]
[[escalations.steps]]
when = "unacknowledged"
after = "10 min"
channels = ["head"]
[[digests]]
at = "09:27"
channels = ["digest"]
[[channels]]
name = "digest"
kind = "mail"
url = "{smtp}"
to = ["digest@example.org"]
from = "caretaker@example.org"
"""
CHANNELS = ("desk", "hook", "head", "night", "digest")
ALERTS_OF_ITSELF = ALERTS.replace('schools = ["gorse"]', 'schools = ["oak"]').replace('["hazel", "ivy"]', '["oak"]')
BEGIN, END = "08:49", "09:31"
SWITCHED = {"elm": "Elm", "fir": "Fir", "gorse": "Gorse", "hazel": "Hazel", "ivy": "Ivy", "juniper": "Juniper"}


def morning(folder: Path) -> Play:
    """The schools and what goes wrong in them."""
    schools = [
        school("ash", "Ash", ["ict1", "ict2"]),
        school("birch", "Birch", ["ict1", "lib", "servers"]),
        school("cedar", "Cedar", ["ict1", "lib", "servers"]),
        school("dell", "Dell", ["ict1", "servers"]),
        school("kale", "Kale", ["ict1", "lib"]),
        *(
            school(name, title, ["ict1", "lib"], "quick" if name == "juniper" else "test")
            for name, title in SWITCHED.items()
        ),
    ]
    devices = [
        *machines("ash", "ict1", 30, "ict1-switch"),
        *of_network("ash", "ict1-switch"),
        *machines("ash", "ict2", 30),
        *machines("birch", "ict1", 8, "ict1-switch"),
        *of_network("birch", "ict1-switch"),
        *machines("birch", "lib", 6),
        *machines("birch", "servers", 1, kind="server"),
        *machines("cedar", "servers", 2, kind="server"),
        *machines("cedar", "ict1", 8, "servers-02", "thin_client"),
        *machines("cedar", "lib", 12),
        *machines("dell", "servers", 1, kind="server"),
        *machines("dell", "ict1", 6),
        *machines("kale", "ict1", 6),
        *machines("kale", "lib", 4),
    ]
    for name in SWITCHED:
        devices += [*machines(name, "ict1", 6, "ict1-switch"), *of_network(name, "ict1-switch")]
        devices += machines(name, "lib", 8)
    play = Play(folder, schools, devices, SERVICE, ALERTS, BEGIN, END)
    play.fault(FaultKind.SWITCH, "ash", "ict1-switch", "09:00", "09:20")
    play.fault(FaultKind.LINE, "birch", "", "09:02", "09:14")
    play.fault(FaultKind.SERVER, "cedar", "servers-02", "09:01", "09:12")
    play.fault(FaultKind.RELAY, "dell", "servers-01", "09:03", "09:16")
    play.fault(FaultKind.SWITCH, "elm", "ict1-switch", "09:04", "09:18")
    play.command("08:58", *["maintenance", "elm/ict1", "--from", "09:00", "--until", "09:25", "--reason", "cabling"])
    play.fault(FaultKind.SWITCH, "fir", "ict1-switch", "09:04", "09:29")
    play.command("08:58:30", *["silence", "fir", "--until", "09:15", "--reason", "known"])
    play.fault(FaultKind.SWITCH, "gorse", "ict1-switch", "09:05", "10:00")
    play.fault(FaultKind.SWITCH, "hazel", "ict1-switch", "09:03", "10:00")
    play.fault(FaultKind.SWITCH, "ivy", "ict1-switch", "09:03", "10:00")
    play.at("09:11", lambda it: acknowledge(it, "ivy"))
    play.fault(FaultKind.SWITCH, "juniper", "ict1-switch", "09:03", "10:00")
    play.at("09:11", lambda it: acknowledge(it, "juniper"))
    for minute in range(3, 22, 3):
        play.fault(FaultKind.LINE, "kale", "", f"09:{minute:02}", f"09:{minute + 2:02}")
    return play


def acknowledge(play: Play, name: str) -> None:
    """The engineer looks at the list and acknowledges what is there."""
    for number in [word for word in play.caretaker("incidents", name).split() if word.startswith("INC-")]:
        play.caretaker("incident", "ack", number, "--by", "Sam")


def itself(folder: Path) -> Play:
    """A school in which nothing is wrong, and a Caretaker that loses its database and its broker."""
    devices = [*machines("oak", "ict1", 30), *machines("oak", "servers", 1, kind="server")]
    schools = [school("oak", "Oak", ["ict1", "servers"])]
    play = Play(folder, schools, devices, SERVICE, ALERTS_OF_ITSELF, BEGIN, END, database=True)
    play.at("09:01", lambda it: it.influx.refuse(503))
    play.at("09:06", lambda it: it.influx.answer(204, b""))
    play.at("09:14", lambda it: it.broker.kill())
    play.at("09:17", lambda it: it.broker.start())
    return play


@pytest.fixture(scope="module")
def mornings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Play]]:
    """The same morning twice, at the same time."""
    plays = {name: morning(tmp_path_factory.mktemp(name)) for name in ("calm", "killed")}
    for when in ("09:00:20", "09:07", "09:20:20"):
        plays["killed"].at(when, Play.kill_and_start)
    plays["itself"] = itself(tmp_path_factory.mktemp("itself"))
    with performing(list(plays.values())):
        yield plays


@pytest.fixture(params=["calm", "killed"])
def play(request: pytest.FixtureRequest, mornings: dict[str, Play]) -> Play:
    """One of them."""
    return mornings[request.param]


def late_s(play: Play) -> int:
    """How much later than on a calm morning something may be told."""
    return LATE_S if len(play.script) > 3 else 0


def story(play: Play, channel: str, title: str) -> list[str]:
    """How each message about a school begins: "" for an opening."""
    return [one.title.partition(f"{title}: ")[0].rpartition("P")[0] for one in play.arrived(channel, f"{title}: ")]


def test_a_dead_switch_is_one_message_and_one_resolved(play: Play) -> None:
    """At 09:00 the switch of ICT1 dies; none for its 30 machines; at 09:20 it is back."""
    incident = play.one("ash", FindingKind.LINK_DOWN, "ash/ict1-switch")
    assert len(incident.ever_hit) == 30 and incident.status is Status.FIXED
    play.between("09:00", "09:01:30", incident.since_ms, late_s(play))
    for channel in ("desk", "hook"):
        opened, fixed = play.arrived(channel, "Ash: ")
        play.between("09:00:30", "09:02:30", opened, late_s(play))
        play.between("09:24", "09:27", fixed, late_s(play))
        assert "fixed" not in opened.title and fixed.title.startswith("fixed: ")


def test_a_school_that_goes_dark_is_one_incident_with_one_message(play: Play) -> None:
    incident = play.one("birch", FindingKind.SCHOOL_DARK, "birch")
    assert incident.status is Status.FIXED
    assert story(play, "desk", "Birch") == ["", "fixed: "], play.told_of("birch")
    play.between("09:02:30", "09:04:30", play.arrived("desk", "Birch: ")[0], late_s(play))


def test_a_server_with_its_thin_clients_is_one_incident(play: Play) -> None:
    incident = play.one("cedar", FindingKind.SERVER_DOWN, "cedar/servers-02")
    assert {subject.device for subject in incident.ever_hit} >= {f"ict1-{n:02}" for n in range(1, 9)}
    assert story(play, "desk", "Cedar") == ["", "fixed: "], play.told_of("cedar")


def test_a_silent_relay_is_told(play: Play) -> None:
    play.one("dell", FindingKind.RELAY_SILENT, "dell/servers-01")
    assert story(play, "desk", "Dell") == ["", "fixed: "], play.told_of("dell")


def test_what_was_planned_beforehand_is_no_incident(play: Play) -> None:
    assert play.of("elm") == [], play.told_of("elm")
    assert play.arrived("desk", "Elm") == [] == play.arrived("hook", "Elm")


def test_what_is_silenced_is_recorded_at_once_and_told_when_the_silence_ends(play: Play) -> None:
    incident = play.one("fir", FindingKind.LINK_DOWN, "fir/ict1-switch")
    play.between("09:04:30", "09:06:30", incident.opened_ms, late_s(play))
    opened = play.arrived("desk", "Fir: ")[0]
    play.between("09:15", "09:16", opened, late_s(play))
    assert story(play, "desk", "Fir")[:1] == [""] and len(play.arrived("desk", "Fir: ")) <= 2


def test_quiet_hours_put_a_message_off_until_they_end(play: Play) -> None:
    incident = play.one("gorse", FindingKind.LINK_DOWN, "gorse/ict1-switch")
    play.between("09:05:30", "09:07:30", incident.opened_ms, late_s(play))
    [opened] = play.arrived("night", "Gorse: ")
    play.between("09:15", "09:16", opened, late_s(play))
    assert play.arrived("desk", "Gorse: ") == [], "it has a route of its own"


def test_what_nobody_acknowledges_escalates_once(play: Play) -> None:
    play.one("hazel", FindingKind.LINK_DOWN, "hazel/ict1-switch")
    [escalated] = play.arrived("head", "Hazel: ")
    assert escalated.title.startswith("nobody has answered: ")
    play.between("09:13:30", "09:16:30", escalated, late_s(play))


def test_what_somebody_acknowledges_does_not(play: Play) -> None:
    incident = play.one("ivy", FindingKind.LINK_DOWN, "ivy/ict1-switch")
    assert incident.acknowledged_by == "Sam"
    assert play.arrived("head", "Ivy: ") == []
    assert story(play, "desk", "Ivy") == [""], play.told_of("ivy")


def test_three_quarters_of_the_time_to_fix_are_a_warning(play: Play) -> None:
    """16 minutes to fix what broke at 09:03: a warning after 12, the miss after 16, each once."""
    incident = play.one("juniper", FindingKind.LINK_DOWN, "juniper/ict1-switch")
    _opened, warned, missed = play.arrived("desk", "Juniper: ")
    assert warned.title.startswith("fix due soon: ") and missed.title.startswith("fix late: ")
    assert 12 * 60_000 <= play.ready_ms(warned) - incident.opened_ms <= 14 * 60_000 + late_s(play) * 1000
    assert 16 * 60_000 <= play.ready_ms(missed) - incident.opened_ms <= 18 * 60_000 + late_s(play) * 1000


def test_a_flapping_line_is_one_incident_not_ten(play: Play) -> None:
    incident = play.one("kale", FindingKind.SCHOOL_DARK, "kale")
    begun = [what for what in story(play, "desk", "Kale") if not what.startswith("fixed")]
    assert begun == [""], play.told_of("kale")
    assert play.actions(incident).count(Action.REOPENED) == 0
    assert play.looks[incident.key] > 2, "it came and went"


def test_the_digest_comes_once_and_lists_what_is_open(play: Play) -> None:
    [digest] = play.arrived("digest")
    play.between("09:27", "09:29", digest, late_s(play))
    assert digest.title.startswith("Caretaker on Tuesday 6 October: ")
    for title in ("Gorse", "Hazel", "Ivy", "Juniper"):
        assert title in digest.body


def test_nothing_is_told_twice_and_nothing_is_left_unsent(play: Play) -> None:
    """A message comes again, under its id, only where the collector got no answer: killed while it sent, perhaps."""
    came = Counter((one.channel, one.id) for one in play.receivers.arrived)
    assert {key: count for key, count in came.items() if count > play.tries[key[1]]} == {}
    said = [(one.channel, one.title) for channel in CHANNELS for one in play.arrived(channel)]
    assert len(said) == len(set(said)), "no two messages say the same"
    assert play.unsent == []
    late = [one for one in play.receivers.arrived if one.at_ms - play.ready_ms(one) > 5 * 60_000]
    assert late == [], "what is ready goes out at once"


def test_a_collector_that_is_killed_opens_and_tells_the_same(mornings: dict[str, Play]) -> None:
    """Nothing lost, nothing told twice, no ghost."""

    def opened(play: Play) -> list[tuple[str, str]]:
        return sorted((one.kind.value, str(one.subject)) for one in play.incidents if one.subject.school)

    def said(play: Play) -> list[tuple[str, str]]:
        return [(channel, text) for channel in CHANNELS[:-1] for text in sorted(map(plain, play.arrived(channel)))]

    calm, killed = mornings["calm"], mornings["killed"]
    assert opened(calm) == opened(killed)
    assert said(calm) == said(killed)


def plain(message: Arrived) -> str:
    """A title without its number and figures, which may differ."""
    return message.title.rpartition(" (INC-")[0].partition(": ")[0] + message.title.partition(": ")[2][:12]


def test_a_database_that_is_away_is_told_and_over_when_it_is_back(mornings: dict[str, Play]) -> None:
    """It refuses from 09:01 on, which may last for two minutes; back at 09:06, it is tried again now and then."""
    play = mornings["itself"]
    [incident] = [one for one in play.of("") if one.kind is FindingKind.STORE_SILENT]
    play.between("09:03", "09:06", incident.opened_ms)
    play.between("09:06", "09:16", incident.fixed_ms)


def test_a_broker_that_is_away_is_told_and_over_when_it_is_back(mornings: dict[str, Play]) -> None:
    """It is killed at 09:14, which may last for a minute; it is back at 09:17, and is tried again now and then."""
    play = mornings["itself"]
    [incident] = [one for one in play.of("") if one.kind is FindingKind.BROKER_SILENT]
    play.between("09:15", "09:17", incident.opened_ms)
    play.between("09:17", "09:25", incident.fixed_ms)


def test_caretakers_own_faults_are_told_once_each_and_no_machine_is_blamed_for_them(mornings: dict[str, Play]) -> None:
    play = mornings["itself"]
    assert play.of("oak") == [], play.told_of("oak")
    assert [one.status for one in play.of("")] == [Status.FIXED, Status.FIXED], play.told_of("")
    for channel in ("desk", "hook"):
        for fault in ("cannot write to its database", "has no connection to its broker"):
            begins = [one.title.partition("Caretaker ")[0] for one in play.arrived(channel, fault)]
            assert begins == ["", "fixed: "], play.told_of("")
