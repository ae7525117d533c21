"""What a machine was at each moment: its own readings first, then what the collector concluded, then silence.

Each world is checked in mixed order with repeats as well (`World.line`)."""

from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.model import Transition
from caretaker_rules.rollup import Reading
from caretaker_rules.timeline import timeline
from rules_world import EPOCH
from timeline_world import World, clock_ms, words

ASLEEP, OFF, IDLE, IN_USE = PowerState.ASLEEP, PowerState.OFF, PowerState.IDLE, PowerState.IN_USE
SIGHT = [(clock_ms("-9 00:00"), clock_ms("+9 00:00"))]


def evening():
    """On from 08:00, off by rule at 17:00."""
    return World().boot("08:00").goes("17:00", "rule")


def test_off_over_night_by_a_rule_is_planned_off_until_it_is_on_again():
    """Also while the goodbye is its last word."""
    assert evening().line("+1 07:00") == "00:00 blind, 08:00 on, 17:00 planned_off rule"
    world = evening().boot("+1 08:00")
    assert world.line("+1 12:00") == "00:00 blind, 08:00 on, 17:00 planned_off rule, +1 08:00 on"


def test_a_day_between_goes_on_from_the_reading_before_it():
    """The span may begin long after the last word, and the causes are those of then."""
    assert evening().line("+2 00:00", start="+1 00:00") == "+1 00:00 planned_off rule"


def test_off_by_its_user():
    """The cause is the user's."""
    world = World().boot("08:00").goes("12:00", "user").boot("13:00")
    assert world.line("14:00", start="08:00") == "08:00 on, 12:00 planned_off user, 13:00 on"


def test_off_by_a_goodbye_alone_counts_as_said():
    """The last report never came, only the goodbye did."""
    world = World().boot("08:00").goes("12:00", "user")
    world.readings.pop()
    own = [one for one in world.changes if one.to_state is OFF]
    world.changes.remove(own[-1])
    world.changes.append(Transition(clock_ms("12:00"), IN_USE, OFF, Cause.USER, True))
    assert world.line("14:00", start="08:00") == "08:00 on, 12:00 planned_off user"
    world.boot("15:00")
    assert world.line("16:00", start="08:00") == "08:00 on, 12:00 planned_off user, 15:00 on"


def test_sleep_is_planned_off_with_its_cause_and_ends_with_the_resume():
    """In the same boot, by the meter for time asleep."""
    world = World().boot("08:00").goes("12:00", "rule", ASLEEP).wakes("13:00")
    assert world.line("14:00", start="08:00") == "08:00 on, 12:00 planned_off rule, 13:00 on"


def test_sleep_that_was_not_announced_is_off_without_cause_right_before_the_next_reading():
    """The meters say how long it slept; nothing says why."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), IN_USE, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("12:00"), IN_USE, 3 * 3600, 0, 3600),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 on, 11:00 off"


def test_a_restart_is_planned_and_short():
    """Off with the cause restart, then on."""
    world = World().boot("08:00").goes("12:00", "restart").boot("12:03")
    assert world.line("13:00", start="08:00") == "08:00 on, 12:00 planned_off restart, 12:03 on"


def test_a_crash_is_off_without_cause_from_the_last_sign_of_life():
    """No goodbye and a higher boot; until it is back it is lost from the will on."""
    world = World().boot("08:00").crash("11:02")
    assert world.line("11:30", start="08:00") == "08:00 on, 11:04 lost"
    world.boot("12:00")
    assert world.line("13:00", start="08:00") == "08:00 on, 11:00 off, 12:00 on"


def test_a_power_cut_over_night_is_off_without_cause_until_the_boot():
    """Nobody switched it off on record."""
    world = World().boot("08:00").crash("20:00").boot("+1 08:00")
    assert world.line("+1 09:00", start="08:00") == "08:00 on, 19:55 off, +1 08:00 on"


def test_a_cut_line_is_lost_until_the_replay_shows_that_the_machine_was_on():
    """Then it is blind: the line was cut, not the machine."""
    world = World().boot("08:00").cut("11:00")
    assert world.line("12:00", start="08:00") == "08:00 on, 11:02 lost"
    world.mend("13:00")
    assert world.line("14:00", start="08:00") == "08:00 on, 11:02 blind, 13:00 on"


def test_a_cut_line_whose_reports_never_come_is_blind_by_the_meters():
    """The next reading of the same boot holds what was not told."""
    world = World().boot("08:00").cut("11:00").mend("13:00", dropped=True)
    assert world.line("14:00", start="08:00") == "08:00 on, 11:02 blind, 13:00 on"


def test_what_happened_behind_a_cut_line_is_what_the_replay_tells():
    """Switched off by its user meanwhile: planned-off, whatever the collector took it for."""
    world = World().boot("08:00").cut("11:00").goes("12:00", "user").mend("12:30").boot("14:00")
    assert world.line("15:00", start="08:00") == "08:00 on, 11:02 blind, 12:00 planned_off user, 14:00 on"


def test_a_goodbye_said_behind_a_cut_line_ends_what_the_collector_took_for_lost():
    """The replay has come as far as the goodbye; the link of the next boot stands, and its reports are under way."""
    world = World().boot("08:00").cut("11:00").goes("12:00", "user").mend("12:30").boot("14:00")
    world.readings = [one for one in world.readings if one.boot == 1]
    world.changes = [one for one in world.changes if one.cause is not Cause.BOOT]
    assert world.line("14:00", start="08:00") == "08:00 on, 11:02 blind, 12:00 planned_off user"


def test_a_machine_that_was_off_behind_the_line_and_whose_reports_were_dropped_has_no_recorded_cause():
    """The meters prove how long it was on; that is blind where it was taken for lost, and the rest off."""
    world = World().boot("08:00").cut("11:00").goes("12:00", "user").mend("12:30", dropped=True).boot("14:00")
    assert world.line("15:00", start="08:00") == "08:00 on, 11:02 blind, 12:00 off, 14:00 on"


def test_a_day_in_which_a_machine_was_lost_all_through_and_replayed_is_blind_where_the_change_before_it_is_given():
    """Lost on the day before, found on the day after."""
    world = World().boot("08:00").cut("11:00").mend("+2 11:00")
    assert world.line("+2 12:00", start="+1 00:00") == "+1 00:00 blind, +2 11:00 on"
    assert world.line("+2 00:00", start="+1 00:00") == "+1 00:00 blind"


def test_a_machine_found_in_the_span_was_lost_when_it_began_though_nothing_says_since_when():
    """Only the end of the time lost is among the changes."""
    world = World().boot("08:00").cut("11:00").mend("13:00")
    world.changes = [one for one in world.changes if one.at_ms > clock_ms("12:00")]
    assert world.line("14:00", start="12:00") == "12:00 blind, 13:00 on"


def test_lost_ends_with_its_own_end_and_not_with_a_replayed_report():
    """The first report of the replay was made after the line was cut, and the machine has booted since."""
    world = World().boot("08:00").cut("11:03").goes("12:00", "user").mend("12:30").boot("14:00")
    line = world.line("15:00", start="08:00")
    assert line == "08:00 on, 11:05 blind, 12:00 planned_off user, 14:00 on"


def test_a_machine_that_booted_was_lost_only_until_then_though_nothing_says_since_when():
    """The end is told by the link, seconds after the first report; those seconds are on, and nothing is blind."""
    world = World().boot("08:00").crash("11:02").boot("13:00")
    world.changes = [one for one in world.changes if one.at_ms > clock_ms("12:00")]
    assert world.line("14:00", start="12:00") == "12:00 off, 13:00 on"


def test_an_end_that_comes_before_its_own_beginning_by_the_clock_of_the_device():
    """Lost at 11:02 by the collector's clock, found at once, at 10:55 by the device's: the next reading ends it."""
    world = World().boot("08:00")
    world.line("15:00")
    lost = Transition(clock_ms("11:02"), IN_USE, PowerState.LOST, Cause.UNKNOWN, False)
    world.changes += [lost, Transition(clock_ms("10:55"), PowerState.LOST, IN_USE, Cause.UNKNOWN, False)]
    assert world.line("15:00", start="08:00") == "08:00 on, 11:02 blind, 11:05 on"
    again = Transition(clock_ms("14:00"), IN_USE, PowerState.LOST, Cause.UNKNOWN, False)
    world.changes += [again, Transition(clock_ms("14:20"), PowerState.LOST, IN_USE, Cause.UNKNOWN, False)]
    assert world.line("15:00", start="08:00") == "08:00 on, 11:02 blind, 11:05 on, 14:00 blind, 14:20 on"


def test_an_agent_that_was_stopped_leaves_blind_time():
    """The machine stays on and nobody sees it; the meters prove that it was on, which changes nothing."""
    world = World().boot("08:00").stop_agent("11:00")
    assert world.line("12:00", start="08:00") == "08:00 on, 11:00 blind"
    world.start_agent("13:00")
    assert world.line("14:00", start="08:00") == "08:00 on, 11:00 blind, 13:00 on"


def test_a_boot_that_the_meters_do_not_explain_is_blind():
    """One boot, an hour that no meter counted, nobody told: nothing is known of it, metered time lies at its end."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), IN_USE, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("12:00"), IN_USE, 3 * 3600, 0, 0),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 blind, 09:00 on"


def test_an_agent_reinstalled_while_its_machine_is_on():
    """Stopped first, so what lies between the epochs is blind."""
    world = World().boot("08:00").stop_agent("11:00").reinstall("12:00")
    assert world.line("13:00", start="08:00") == "08:00 on, 11:00 blind, 12:00 on"


def test_reinstalling_makes_no_outage_blind():
    """Dead from 11:02 with a new disk in the evening: it was lost, and stays so under the new epoch."""
    world = World().boot("08:00").crash("11:02").reinstall("18:00")
    assert world.line("19:00", start="08:00") == "08:00 on, 11:04 lost, 18:00 on"


def test_off_by_rule_and_reinstalled_next_day_was_off_by_rule():
    """The last word of the old agent holds until the new one's meters begin."""
    world = evening().reinstall("+1 10:00")
    assert world.line("+1 11:00", start="12:00") == "12:00 on, 17:00 planned_off rule, +1 10:00 on"


def test_meters_of_a_new_epoch_reach_back_before_its_first_reading():
    """An agent that had counted for an hour before it was first heard was on for that hour."""
    readings = [
        Reading("00000001", 1, 7, clock_ms("08:00"), OFF, 9, 9, 9),
        Reading(EPOCH, 1, 12, clock_ms("12:00"), IN_USE, 3600, 0, 0),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 off, 11:00 on"


def test_nobody_knows_when_a_machine_slept_before_a_new_epoch_was_first_heard():
    """Time asleep on the meters of the first reading is blind; the time on lies right before it."""
    readings = [
        Reading("00000001", 1, 7, clock_ms("08:00"), OFF, 9, 9, 9),
        Reading(EPOCH, 1, 12, clock_ms("12:00"), IN_USE, 3600, 0, 1800),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 off, 10:30 blind, 11:00 on"


def test_the_first_reading_known_of_a_boot_tells_how_long_it_had_been_on():
    """Its first reports never came: the time on lies right before it, the time off before that."""
    readings = [
        Reading(EPOCH, 1, 9, clock_ms("08:00"), OFF, 9, 9, 9),
        Reading(EPOCH, 2, 12, clock_ms("12:00"), IN_USE, 9 + 3600, 9, 9),
    ]
    changes = [Transition(clock_ms("08:00"), IDLE, OFF, Cause.RULE, True)]
    line = words(timeline(readings, changes, clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 planned_off rule, 11:00 on"


def test_time_after_a_sleep_that_no_meter_counted_is_blind():
    """Asleep for two hours, on for one, and an hour between that nobody saw."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), ASLEEP, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("12:00"), IN_USE, 3600, 0, 7200),
    ]
    changes = [Transition(clock_ms("08:00"), IDLE, ASLEEP, Cause.RULE, True)]
    line = words(timeline(readings, changes, clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 planned_off rule, 10:00 blind, 11:00 on"


def test_a_goodbye_gives_its_cause_to_a_sleep_that_no_reading_tells_of():
    """The report of it never came; the meters say how long it was, the goodbye when it began and why."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), IN_USE, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("12:00"), IN_USE, 3 * 3600, 0, 3600),
    ]
    changes = [Transition(clock_ms("10:00"), IN_USE, OFF, Cause.RULE, True)]
    line = words(timeline(readings, changes, clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 on, 10:00 planned_off rule, 11:00 on"


def test_more_metered_than_wall_time_within_a_boot_counts_the_time_on_first():
    """The clock was set back while it slept: an hour and a half on the meters, one hour on the wall."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), IN_USE, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("09:00"), IN_USE, 1800, 0, 3600),
        Reading(EPOCH, 1, 3, clock_ms("10:00"), IN_USE, 1800 + 4000, 0, 3600 + 10),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("10:00"), clock_ms("10:00"), SIGHT))
    assert line == "08:00 on, 08:30 off, 09:00 on"


def test_a_clock_set_back_over_a_sleep_says_nothing_of_what_comes_after_it():
    """Two hours on and a minute asleep by the meters, within one hour on the wall: then it is off."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), IN_USE, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("09:00"), OFF, 7200, 0, 60),
        Reading(EPOCH, 2, 1, clock_ms("12:00"), IN_USE, 7200, 0, 60),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("12:00"), clock_ms("12:00"), SIGHT))
    assert line == "08:00 on, 09:00 off"


def test_an_end_without_a_beginning_says_nothing_where_others_are_known():
    """Only the first end of all says that the machine was lost already."""
    world = World().boot("08:00").cut("10:00").mend("10:20")
    world.line("13:00")
    world.changes.append(Transition(clock_ms("12:00"), PowerState.LOST, IN_USE, Cause.UNKNOWN, False))
    assert world.line("13:00", start="08:00") == "08:00 on, 10:02 blind, 10:20 on"


def test_while_the_collector_is_down_the_meters_tell_afterwards():
    """Everything was replayed: nothing is blind."""
    world = World().boot("08:00").close_eyes("11:00").open_eyes("13:00")
    assert world.line("14:00", start="08:00") == "08:00 on"


def test_while_the_collector_is_down_and_never_told_it_is_blind():
    """It crashed meanwhile, and its will is what the collector finds when it is back."""
    world = World().boot("08:00").close_eyes("11:00")
    assert world.line("13:00", start="08:00") == "08:00 on, 11:00 blind"
    world.crash("13:30").open_eyes("14:00", dropped=True)
    assert world.line("15:00", start="08:00") == "08:00 on, 11:00 blind, 14:00 lost"


def test_silence_that_nobody_concluded_from_is_lost_from_the_first_heartbeat_that_did_not_come():
    """The change to lost is not on record; Caretaker could see all the time."""
    world = World().boot("08:00").cut("11:02")
    world.line("12:00")
    world.changes = [one for one in world.changes if one.to_state is not PowerState.LOST]
    assert world.line("12:00", start="08:00") == "08:00 on, 11:05 lost"


def test_silence_after_blind_time_is_lost_one_heartbeat_after_sight_came_back():
    """It may have been on until then."""
    world = World().boot("08:00").close_eyes("11:00").crash("11:30", will=False).open_eyes("13:00", dropped=True)
    assert world.line("14:00", start="08:00") == "08:00 on, 11:00 blind, 13:05 lost"


def test_lost_time_in_which_caretaker_could_not_see_is_blind():
    """Nobody knows whether the machine was there meanwhile."""
    world = World().boot("08:00").crash("11:00").close_eyes("12:00").open_eyes("13:00")
    assert world.line("14:00", start="08:00") == "08:00 on, 11:02 lost, 12:00 blind, 13:00 lost"


def test_planned_off_needs_no_sight():
    """It said that it goes."""
    world = evening().close_eyes("18:00").open_eyes("20:00")
    assert world.line(start="08:00") == "08:00 on, 17:00 planned_off rule"


def test_on_and_within_its_heartbeat_at_the_end_is_on():
    """Up to the moment until which anything is known, and no further."""
    world = World().boot("08:00")
    assert world.line("+1 00:00", start="08:00", known="12:03") == "08:00 on"
    stretches = timeline(world.readings, [], clock_ms("08:00"), clock_ms("+1 00:00"), clock_ms("12:03"), SIGHT)
    assert [(one.from_ms, one.until_ms) for one in stretches] == [(clock_ms("08:00"), clock_ms("12:03"))]


def test_a_machine_never_heard_is_blind():
    """Registered, and nothing is known of it."""
    assert World().line("12:00") == "00:00 blind"


def test_nothing_is_said_of_time_that_nobody_knows_yet():
    """A span that lies in the future is empty."""
    assert timeline([], [], clock_ms("08:00"), clock_ms("12:00"), clock_ms("08:00"), SIGHT) == []


def test_a_clock_that_was_wrong_for_a_while_costs_nothing():
    """Readings from 1970 and 2030 are left out; the meters of those around them hold the time."""
    world = World().boot("08:00").goes("17:00", "rule")
    world.line("18:00")
    strange = Reading(EPOCH, 1, world.readings[9].seq, 1000, IN_USE, 2700, 0, 0)
    late = Reading(EPOCH, 1, world.readings[19].seq, clock_ms("+900 08:00"), IN_USE, 5700, 0, 0)
    world.readings[9], world.readings[19] = strange, late
    assert world.line("18:00", start="08:00") == "08:00 on, 17:00 planned_off rule"


def test_a_clock_that_is_minutes_off_keeps_the_causes():
    """Readings are put right by the collector's clock, changes are not: they are still of the same reports."""
    for minutes in (-25, 25):
        world = World().boot("08:00").goes("12:00", "rule").boot("13:00").goes("17:00", "user")
        world.line("18:00")
        world.changes = [
            Transition(one.at_ms + minutes * 60_000, one.from_state, one.to_state, one.cause, one.planned)
            for one in world.changes
        ]
        line = world.line("18:00", start="08:00")
        assert line == "08:00 on, 12:00 planned_off rule, 13:00 on, 17:00 planned_off user"


def test_a_clock_set_back_leaves_no_gap_and_no_overlap():
    """An hour counted twice by the wall is there once."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), IN_USE, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("10:00"), IN_USE, 7200, 0, 0),
        Reading(EPOCH, 1, 3, clock_ms("10:30"), IN_USE, 7200 + 5400, 0, 0),
        Reading(EPOCH, 2, 1, clock_ms("11:00"), IN_USE, 7200 + 5400 + 900, 0, 0),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("11:00"), clock_ms("11:00"), SIGHT))
    assert line == "08:00 on, 10:45 off"


def test_a_late_report_of_an_older_boot_takes_its_place():
    """It says that the machine was switched off, not that it crashed."""
    world = World().boot("08:00").goes("12:00", "user").boot("13:00")
    late = world.readings.pop(-2)
    change = next(one for one in world.changes if one.to_state is OFF)
    world.changes = [one for one in world.changes if one.to_state is not OFF]
    assert world.line("13:30", start="08:00") == "08:00 on, 12:00 off, 13:00 on"
    world.readings.append(late)
    world.changes.append(change)
    assert world.line("14:00", start="08:00") == "08:00 on, 12:00 planned_off user, 13:00 on"


def test_a_goodbye_repeated_keeps_its_cause():
    """Off said twice in one boot: the second has no change of its own."""
    world = evening()
    last = world.readings[-1]
    world.readings.append(Reading(EPOCH, 1, last.seq + 1, last.at_ms + 1000, OFF, last.in_use_s, 0, 0))
    assert world.line("18:00", start="08:00") == "08:00 on, 17:00 planned_off rule"


def test_a_machine_that_booted_after_its_goodbye_and_vanished_is_lost():
    """Its new link broke before it reported."""
    world = evening()
    world.changes.append(Transition(clock_ms("19:00"), OFF, PowerState.LOST, Cause.UNKNOWN, False))
    assert world.line("20:00", start="16:00") == "16:00 on, 17:00 planned_off rule, 19:00 lost"
    world.changes.append(Transition(clock_ms("19:58"), PowerState.LOST, IN_USE, Cause.UNKNOWN, False))
    assert world.line("20:00", start="18:00") == "18:00 planned_off rule, 19:00 lost, 19:58 on"


def test_a_cancelled_shutdown_was_no_time_off():
    """It said goodbye and stayed: one boot, and the meters went on."""
    readings = [
        Reading(EPOCH, 1, 1, clock_ms("08:00"), IN_USE, 0, 0, 0),
        Reading(EPOCH, 1, 2, clock_ms("09:00"), OFF, 3600, 0, 0),
        Reading(EPOCH, 1, 3, clock_ms("09:10"), IDLE, 4200, 0, 0),
    ]
    line = words(timeline(readings, [], clock_ms("08:00"), clock_ms("09:10"), clock_ms("09:10"), SIGHT))
    assert line == "08:00 on"
