"""Energy and carbon: used, avoided as a range, by rule, against plan."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import Audience, Board, Kind, Panel, Pick

BOARD = Board(
    name="energy",
    title="Energy and carbon",
    about="What was used, and what was avoided, as a range: savings are reckoned against a baseline, not metered.",
    audience=Audience.SCHOOL,
    picks=(Pick.NETWORK, Pick.SCHOOLS),
    span=("now-30d/d", "now"),
    refresh="15m",
    for_school=True,
    rows=(
        (
            Panel(
                Kind.STAT,
                "Used in the span",
                "Energy by the watts of each class and state, its cost by the tariff and its carbon by the factor of "
                "each day. What nobody saw is in no figure, and is said.",
                queries.energy_used(),
                width=24,
                height=5,
            ),
        ),
        (
            Panel(
                Kind.STAT,
                "Used against plan",
                "Energy used in the span, and the same share of what is planned for the school year.",
                queries.used_against_plan(),
                width=24,
                height=5,
                with_plan=True,
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Used and avoided by day",
                "Energy used each day, and what rules and users avoided: likely, at least and at most.",
                queries.energy_by_day(),
                height=10,
                custom={"fillOpacity": 0},
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Avoided by month",
                "A month reckoned as one: low, likely and high against the school's own baseline; caretaker savings "
                "shows its working.",
                queries.avoided_in_months(),
                width=24,
                height=8,
                time_from="now-13M/M",
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Avoided by rule",
                "What each rule avoided in the months of a year, and how often it switched off.",
                queries.avoided_by_rule(),
                width=16,
                height=8,
                time_from="now-13M/M",
            ),
            Panel(
                Kind.LINES,
                "Machine-hours by state",
                "Hours that machines were in use, idle and asleep: idle hours are what can still be saved.",
                queries.hours_by_state(),
                width=8,
                height=8,
                stacked=True,
                bars=True,
            ),
        ),
    ),
)
