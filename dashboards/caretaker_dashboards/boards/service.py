"""Service level: availability with its blind range, clocks, and how fast the allowed outage is used up."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import Audience, Board, Kind, Panel, Pick

BOARD = Board(
    name="service",
    title="Service level",
    about="Availability in hours of service against the target, as a range where Caretaker was blind.",
    audience=Audience.DESK,
    picks=(Pick.NETWORK, Pick.SCHOOLS),
    span=("now/M", "now"),
    refresh="15m",
    for_school=True,
    rows=(
        (
            Panel(
                Kind.STAT,
                "Availability",
                "Of the time owed and seen, that in which machines were available; at least and at most, if all that "
                "nobody saw was down or up. Cut to two decimals, not rounded.",
                queries.availability(),
                width=12,
                height=6,
            ),
            Panel(
                Kind.STAT,
                "Open incidents",
                "How many incidents are open now, by priority.",
                queries.incidents_now(),
                width=12,
                height=6,
                when_red="the board Estate wall names their school and the time left.",
                time_from="now-1h",
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Clocks now",
                "Each school's incidents and the time left on its tightest fix clock, in hours of service.",
                queries.schools_now(),
                height=7,
                when_red="below zero it is late: take it first, and tell the school.",
                time_from="now-1h",
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Schools against target",
                "Availability, its range, how far it is from the target, and how much of the outage that the target "
                "allows is used up. The contract's own figures, with credits, are in caretaker sla month.",
                queries.availability_by_school(),
                height=9,
                when_red="open the school; caretaker sla explain SCHOOL MONTH lists every outage behind the figure.",
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Availability by day",
                "Likely, at least and at most for each day of service.",
                queries.availability_by_day(),
                width=12,
                height=9,
            ),
            Panel(
                Kind.LINES,
                "Hours down and not seen by day",
                "Hours of service in which machines were down, and in which nobody could see.",
                queries.down_by_day(),
                width=12,
                height=9,
                stacked=True,
                bars=True,
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Allowed outage used, day by day",
                "Each day's outage as a share of what the target allows that day: above 100 % the month is losing.",
                queries.burn_over_time(),
                width=12,
                height=8,
                when_red="several days above 100 % miss the month: see which fault it is with caretaker sla explain.",
                custom={"thresholdsStyle": {"mode": "line"}},
            ),
            Panel(
                Kind.LINES,
                "Machines ready when lessons began",
                "Of the machines that lessons needed, those that were on, for each day. Lessons whose room counts as "
                "ready are in caretaker sla month.",
                queries.ready_share_by_day(),
                width=12,
                height=8,
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Incidents opened by day",
                "How many incidents were opened each day.",
                queries.incidents_by_kind(),
                width=24,
                height=7,
                bars=True,
                good_when_empty=True,
            ),
        ),
    ),
)
