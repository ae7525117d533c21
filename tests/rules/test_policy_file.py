"""The policy file: durations, faults with their places, selection, and the examples."""

import msgspec
import pytest
from msgspec import structs

from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Verb
from caretaker_rules.durations import parse_duration
from caretaker_rules.policy import Action, Mode
from rules_world import POLICIES, SCHOOL, load_policy, machine, policy_from

RULE = """mode = "live"

[[rules]]
name = "evening"
select = { classes = ["desktop"] }
hours = ["mon-fri 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90 s", 90), ("30 min", 1800), ("1 h 30 min", 5400), ("2 d", 172_800), ("1 d 2 h 3 min 4 s", 93_784), ("0 s", 0)],
)
def test_duration(text, seconds):
    """Lengths of time are numbers with units."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "30min", "min", "-5 min", "1.5 h", "30 mins", "1 h 2 h", "1 h ", "٣ min"])
def test_wrong_duration_says_how_to_write_it(text):
    """What is not a length of time is refused with an example or the unit that stands twice."""
    with pytest.raises(ValueError, match=r"write|twice"):
        parse_duration(text)


@pytest.mark.parametrize("name", sorted(p.name for p in POLICIES.glob("*.toml") if "\n[[rules]]" in p.read_text()))
def test_example_policies_load(name):
    """Every policy under rules/policies is good, and each rule's line is where its [[rules]] stands."""
    policy = load_policy(name)
    lines = (POLICIES / name).read_text().splitlines()
    assert policy.rules
    assert all(lines[rule.line - 1].startswith("[[rules]]") for rule in policy.rules)


def test_example_school_policy_is_live_and_observe_is_not():
    """The demo's policy acts; the one for learning does not."""
    assert load_policy("school.toml").mode is Mode.LIVE
    assert not load_policy("observe.toml").may_act("ash", "ict1")


def test_version_is_of_the_text():
    """Any change of the text is another version; the same text is the same version."""
    assert policy_from(RULE).version == policy_from(RULE).version
    assert policy_from(RULE).version != policy_from(RULE + "# later\n").version
    assert len(policy_from(RULE).version) == 4


def test_compiled_rule():
    """Durations come out in seconds, defaults filled in."""
    (rule,) = policy_from(RULE).rules
    assert (rule.name, rule.line, rule.idle_for_s, rule.warn_s) == ("evening", 3, 1800, 120)
    assert rule.action is Action.SHUT_DOWN
    assert rule.action.verb is Verb.SHUT_DOWN
    assert Action.WARN_ONLY.verb is Verb.WARN


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"30 min"', '"4 min"', 'policy.toml:3  rules[0].idle_for = "4 min"   must lie between 300 s and 604800 s'),
        (
            'do = "shut_down"',
            'do = "shut_down"\nwarn_for = "5 s"',
            'policy.toml:3  rules[0].warn_for = "5 s"   must lie between 30 s and 3600 s',
        ),
        (
            "16:30-07:30",
            "16:30-25:00",
            'policy.toml:3  rules[0].hours = "mon-fri 16:30-25:00"   '
            "'25:00' is not a time of the day (00:00 to 24:00)",
        ),
        (
            '{ classes = ["desktop"] }',
            "{}",
            "policy.toml:3  rules[0].select   selects nothing; name schools, networks, rooms, classes or tags, "
            "or write everything = true",
        ),
        (
            '["desktop"]',
            "[]",
            "policy.toml:3  rules[0].select   classes is empty, so the rule selects nothing; fill it or leave it out",
        ),
        (
            "{ classes",
            "{ everything = true, classes",
            "policy.toml:3  rules[0].select   everything = true and a list contradict each other; keep one",
        ),
        (
            '"live"',
            '"trial"',
            'policy.toml:1  trial_rooms   a trial needs at least one room; name it, or write mode = "observe"',
        ),
    ],
)
def test_fault_names_place_and_remedy(old, new, fault):
    """Each mistake is one line with file, line, key and remedy."""
    with pytest.raises(ConfigError) as caught:
        policy_from(RULE.replace(old, new))
    assert caught.value.faults == [fault]


def test_all_faults_come_at_once():
    """Nobody has to mend a file mistake by mistake."""
    text = RULE.replace('"30 min"', '"1 s"') + RULE.split("\n", 2)[2].replace("16:30", "16:60")
    with pytest.raises(ConfigError) as caught:
        policy_from(text)
    assert [fault.split("  ")[1].split(" = ")[0] for fault in caught.value.faults] == [
        "rules[0].idle_for",
        "rules[1].name",
        "rules[1].hours",
    ]


def test_unknown_key_and_unreadable_duration_are_refused_when_read():
    """The declaration itself refuses what it does not know."""
    for old, new in (("idle_for", "idel_for"), ('"30 min"', '"half an hour"')):
        with pytest.raises(msgspec.ValidationError):
            policy_from(RULE.replace(old, new))


@pytest.mark.parametrize(
    ("select", "fits"),
    [
        ('{ classes = ["desktop"] }', True),
        ('{ classes = ["laptop"] }', False),
        ('{ classes = ["no-such"] }'.replace("-", "_"), False),
        ('{ rooms = ["ict1"] }', True),
        ('{ rooms = ["ash/ict1"] }', True),
        ('{ rooms = ["oak/ict1"] }', False),
        ('{ schools = ["ash"], classes = ["laptop"] }', False),
        ('{ schools = ["ash"], classes = ["laptop", "desktop"] }', True),
        ('{ networks = ["green"] }', True),
        ('{ networks = ["blue"] }', False),
        ('{ tags = ["front"] }', True),
        ('{ tags = ["back"] }', False),
        ("{ everything = true }", True),
    ],
)
def test_selection(select, fits):
    """Every list that is given must fit; what does not exist fits nothing."""
    (rule,) = policy_from(RULE.replace('{ classes = ["desktop"] }', select)).rules
    device, _ = machine(tags=("front",))
    assert rule.selects(device, SCHOOL) is fits


def test_empty_or_absent_selection_selects_nothing():
    """Even a rule that slipped past the checks (invariant I5)."""
    (rule,) = policy_from(RULE).rules
    device, _ = machine()
    for select in (structs.replace(rule.select, classes=[]), structs.replace(rule.select, classes=None)):
        assert not structs.replace(rule, select=select).selects(device, SCHOOL)


def test_school_without_network_is_in_none():
    """A rule for a network does not fit a school that has none."""
    (rule,) = policy_from(RULE.replace('classes = ["desktop"]', 'networks = ["green"]')).rules
    assert not rule.selects(machine()[0], structs.replace(SCHOOL, network=None))


def test_trial_acts_in_its_rooms_only():
    """A trial names rooms, with or without their school."""
    policy = policy_from(RULE.replace('"live"', '"trial"\ntrial_rooms = ["ict1", "oak/lib"]'))
    assert policy.may_act("ash", "ict1")
    assert policy.may_act("oak", "lib")
    assert not policy.may_act("ash", "lib")
