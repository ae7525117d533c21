"""Estate wall: every school on one screen, to be read from four metres. First line: what is wrong now."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import Audience, Board, Kind, Panel, Pick

BOARD = Board(
    name="estate",
    title="Estate wall",
    about="Every school now: machines by state, readiness for lessons, incidents and the time left to fix them.",
    audience=Audience.DESK,
    picks=(Pick.NETWORK, Pick.SCHOOLS),
    span=("now-1h", "now"),
    refresh="30s",
    rows=(
        (
            Panel(
                Kind.STAT,
                "Open incidents",
                "How many incidents are open now, by priority; a dead switch is one, not thirty.",
                queries.incidents_now(),
                width=12,
                height=6,
                when_red="take the one with the least time left at the desk; the table below names its school.",
                options={"text": {"valueSize": 60}},
            ),
            Panel(
                Kind.STAT,
                "Machines now",
                "How many machines are in each state, of all that report.",
                queries.machines_now(),
                width=12,
                height=6,
                options={"text": {"valueSize": 48}},
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Schools",
                "A school in each row, as it stands now. Time left: of its tightest fix clock, in hours of service.",
                queries.schools_now(),
                height=9,
                when_red="open the school; time left below zero is late. Blind: look at Caretaker itself first.",
                options={"cellHeight": "lg"},
            ),
        ),
        (
            Panel(
                Kind.BARS,
                "Machines by state",
                "How many machines of each school are in each state now.",
                queries.states_by_school(),
                width=14,
                height=10,
                stacked=True,
            ),
            Panel(
                Kind.GAUGES,
                "Ready for lessons, the last seven days",
                "Of the machines that lessons needed, those that were on when they began.",
                queries.ready_share_by_school(),
                width=10,
                height=10,
                when_red="open the school and see which room was not ready; caretaker ready SCHOOL lists machines.",
                time_from="now-7d",
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Incidents that are open",
                "Opened or changed within 30 days and not over, newest change first.",
                queries.incidents(),
                height=9,
                when_red="priority 1 or 2: take it at the desk and say what is being done.",
                good_when_empty=True,
                time_from="now-30d",
            ),
        ),
    ),
)
