"""Service review: a month in figures, for the meeting. The pack on paper has the same figures with their working."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import Audience, Board, Kind, Panel, Pick

BOARD = Board(
    name="review",
    title="Service review",
    about="The last full month of a school: service, energy, use. The same figures as the review pack.",
    audience=Audience.SCHOOL,
    picks=(Pick.SCHOOL,),
    span=("now-1M/M", "now-1M/M"),
    refresh="1h",
    for_school=True,
    rows=(
        (
            Panel(
                Kind.STAT,
                "Availability",
                "Of the time owed and seen, that in which machines were available; at least and at most, if all that "
                "nobody saw was down or up.",
                queries.availability(queries.SCHOOL),
                width=12,
                height=6,
            ),
            Panel(
                Kind.STAT,
                "Energy",
                "Energy used, its cost and its carbon; and the machine-hours that are in no figure.",
                queries.energy_used(queries.SCHOOL),
                width=12,
                height=6,
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Energy avoided",
                "Low, likely and high against the school's own baseline, what it is worth, and whose doing it was.",
                queries.avoided_in_months(queries.SCHOOL),
                height=6,
            ),
        ),
        (
            Panel(
                Kind.GAUGES,
                "Machines ready when lessons began",
                "Of the machines that lessons needed, those that were on when they began.",
                queries.ready_share_by_school(queries.SCHOOL),
                width=8,
                height=8,
                when_red="ask which rooms: caretaker sla explain SCHOOL MONTH lists lessons whose room was not ready.",
            ),
            Panel(
                Kind.LINES,
                "Machine-hours by state",
                "Hours that machines were in use, idle and asleep, for each day of the month.",
                queries.hours_by_state(queries.SCHOOL),
                width=16,
                height=8,
                stacked=True,
                bars=True,
            ),
        ),
        (
            Panel(
                Kind.BARS,
                "Hours in use and idle by room",
                "How much the machines of each room were used, and how long they stood on with nobody there.",
                queries.use_by_room(),
                width=12,
                height=10,
                stacked=True,
            ),
            Panel(
                Kind.BARS,
                "Energy by room",
                "Energy used in each room.",
                queries.energy_by_room(),
                width=12,
                height=10,
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Availability by room",
                "Of the time owed and seen, all hours of service and within lessons.",
                queries.availability_by_room(),
                width=12,
                height=9,
            ),
            Panel(
                Kind.TABLE,
                "What happened",
                "Incidents of the month, those that are over too.",
                queries.incidents(queries.SCHOOL, only_open=False),
                width=12,
                height=9,
                when_red="priority 1 or 2: the pack says for how long on the contract's clock, and what was done.",
                good_when_empty=True,
            ),
        ),
    ),
)
