"""What is remembered of one device, message by message."""

from caretaker_contract.messages import Gauges, Hello, PowerState, Verb
from caretaker_rules.model import Tracked
from caretaker_rules.presence import PresenceSettings
from caretaker_rules.tracking import tick, track
from rules_world import EPOCH, NOW_MS, report

SETTINGS = PresenceSettings()


def hello(abilities, *, epoch=EPOCH, boot=5):
    return Hello(device_class="desktop", room="ict1", epoch=epoch, boot=boot, seq=1, abilities=abilities, at_ms=NOW_MS)


def test_readings_are_the_newest_by_number():
    """A report that comes late brings no readings."""
    tracked, _ = track(Tracked(), report(2, gauges=Gauges(idle_s=20)), NOW_MS, SETTINGS)
    after, _ = track(tracked, report(1, gauges=Gauges(idle_s=10)), NOW_MS + 10, SETTINGS)
    assert after.telemetry.gauges.idle_s == 20
    after, _ = track(after, report(3, gauges=Gauges(idle_s=30)), NOW_MS + 20, SETTINGS)
    assert after.telemetry.gauges.idle_s == 30


def test_skew_is_the_difference_of_the_clocks_when_it_was_sent():
    """Also for a report that was made long ago and sent again now."""
    old = report(2, at_ms=NOW_MS - 86_400_000, sent_ms=NOW_MS - 500)
    tracked, _ = track(Tracked(), old, NOW_MS, SETTINGS)
    assert tracked.telemetry.skew_ms == 500


def test_repeat_keeps_the_smaller_skew():
    """Of two copies of one report, the one that travelled faster tells the clock."""
    slow, fast = (report(2), NOW_MS + 60_000), (report(2), NOW_MS + 40)
    for pair in ((slow, fast), (fast, slow)):
        tracked = Tracked()
        for message, received_ms in pair:
            tracked, _ = track(tracked, message, received_ms, SETTINGS)
        assert tracked.telemetry.skew_ms == 40


def test_abilities_are_shared_and_belong_to_the_newest_boot():
    """A fleet has a handful of lists of abilities; an older hello does not bring old ones back."""
    one, _ = track(Tracked(), hello([Verb.SHUT_DOWN, Verb.WARN]), NOW_MS, SETTINGS)
    two, _ = track(Tracked(), hello([Verb.SHUT_DOWN, Verb.WARN]), NOW_MS, SETTINGS)
    assert one.abilities is two.abilities
    newer, _ = track(one, report(1, boot=6), NOW_MS, SETTINGS)
    after, _ = track(newer, hello([], boot=5), NOW_MS, SETTINGS)
    assert after.abilities == (Verb.SHUT_DOWN, Verb.WARN)


def test_tick_without_news_is_the_same_object():
    """Nothing is copied for the machines about which there is nothing to say."""
    tracked, _ = track(Tracked(), report(2), NOW_MS, SETTINGS)
    assert tick(tracked, NOW_MS + 1000, SETTINGS) == (tracked, [])
    assert tick(tracked, NOW_MS + 1000, SETTINGS)[0] is tracked
    lost, changes = tick(tracked, NOW_MS + 751_000, SETTINGS)
    assert (lost.presence.state, len(changes), lost.telemetry) == (PowerState.LOST, 1, tracked.telemetry)
