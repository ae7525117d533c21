"""A trial of a policy as people read it."""

from zoneinfo import ZoneInfo

from caretaker_collector.backtest import Backtest, Trial
from caretaker_rules.backtest import CUT_OFF_S, LOW_RATIO, START_S, Switched, Totals
from caretaker_rules.calendar import local

NONE = Totals()
WIDE = 50


def render(result: Backtest, took_s: float) -> str:
    """Totals beside those of the policy in force, then a row for each rule and room, then where to look."""
    tried, force = result.tried, result.in_force
    days = (result.until_ms - result.from_ms) / 86_400_000
    lines = [
        f"{days:.0f} days · {result.machines} machines · {result.recorded_idle_h:,.0f} idle hours recorded · "
        f"{result.decided:,} decisions replayed in {took_s:.1f} s",
        f"{'':<{WIDE}}{'policy in force':>24}{'this policy':>24}",
    ]
    for title, show in (
        ("switched", lambda f: f"{f.switched:,}"),
        ("kWh avoided (low - mid - high)", _range),
        (f"sessions cut off (used again within {CUT_OFF_S // 60} min)", lambda f: f"{f.cut_off:,}"),
        ("used within the warning (a person says no)", lambda f: f"{f.vetoed:,}"),
    ):
        before = show(force.figures) if force else "none"
        lines.append(f"{title:<{WIDE}}{before:>24}{show(tried.figures):>24}")
    lines += ["", *_rows(tried, force), "", *_notes(result)]
    return "\n".join(lines)


def _range(figures: Totals) -> str:
    return f"{figures.low_kwh:,.0f} - {figures.mid_kwh:,.0f} - {figures.high_kwh:,.0f}"


def _rows(tried: Trial, force: Trial | None) -> list[str]:
    ours = {(row.rule, row.room): row.figures for row in tried.rows}
    theirs = {(row.rule, row.room): row.figures for row in force.rows} if force else {}
    lines = [
        f"{'rule':<18}{'room':<18}{'switched':>9}{'kWh low - mid - high':>24}{'cut off':>9}"
        f"{'| in force':>12}{'kWh mid':>9}{'cut off':>9}"
    ]
    for key in sorted(ours | theirs):
        mine, other = ours.get(key, NONE), theirs.get(key, NONE)
        rule, room = key
        lines.append(
            f"{rule:<18}{room:<18}{mine.switched:>9,}{_range(mine):>24}{mine.cut_off:>9,}"
            f"{other.switched:>12,}{other.mid_kwh:>9,.0f}{other.cut_off:>9,}"
        )
    return lines


def _notes(result: Backtest) -> list[str]:
    tried = result.tried
    lines = []
    worst = max(tried.rows, key=lambda row: row.figures.cut_off, default=None)
    if worst is not None and worst.figures.cut_off:
        lines.append(
            f"look: rule {worst.rule} in {worst.room} cuts off {worst.figures.cut_off:,} of the "
            f"{tried.figures.cut_off:,} sessions (list: --show {worst.rule})"
        )
    if tried.figures.by_rule:
        lines.append(
            f"{tried.figures.by_rule:,} of these idle times were ended by a rule in the record; what the machines "
            "would have done after that is not known and not counted"
        )
    for name, trial in (("this policy", tried), ("the policy in force", result.in_force)):
        if trial is not None and trial.as_if_live:
            lines.append(f"{name} is not live; it was tried as if it were, in all rooms")
    lines.append(
        "high: recorded idle time to the next use, within rules' hours; "
        f"mid: less a start of {START_S} s where it was used again; low: {LOW_RATIO:.0%} of mid (watts of the class)"
    )
    return lines


def sessions(switched: list[Switched], rule: str, zones: dict[str, str]) -> str:
    """The sessions that a rule would have cut off, a line each; `zones`: the time zone of each school."""
    lines = []
    for item in switched:
        if item.rule == rule and item.cut_off and item.used_ms is not None:
            zone = ZoneInfo(zones[item.device.school])
            lines.append(
                f"{local(item.off_ms, zone):%a %d %b %H:%M:%S}  off   {item.device!s:<24} {item.room:<14} "
                f"used again {(item.used_ms - item.off_ms) / 60_000:4.1f} min later"
            )
    return "\n".join(lines) if lines else f"rule {rule} would have cut off nobody"
