"""School: its rooms now, and its day. From here to a room."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import Audience, Board, Kind, Panel, Pick

BOARD = Board(
    name="school",
    title="School",
    about="One school now and today: its rooms, readiness for lessons, incidents.",
    audience=Audience.DESK,
    picks=(Pick.SCHOOL,),
    span=("now-12h", "now"),
    for_school=True,
    rows=(
        (
            Panel(
                Kind.STAT,
                "Open incidents",
                "How many incidents of this school are open now, by priority.",
                queries.incidents_now(queries.SCHOOL),
                width=10,
                height=5,
                when_red="the table of incidents below says what it is, and the desk how long is left.",
            ),
            Panel(
                Kind.STAT,
                "Machines now",
                "How many machines of this school are in each state.",
                queries.machines_now(queries.SCHOOL),
                width=14,
                height=5,
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Rooms now",
                "A room in each row with its machines by state. Held: a hold, freeze or maintenance is in force.",
                queries.rooms_now(),
                width=14,
                height=11,
            ),
            Panel(
                Kind.TABLE,
                "Ready when their last lesson began",
                "Machines that were on when the newest lesson of the span began, of those that it needed.",
                queries.rooms_ready(),
                width=10,
                height=11,
                when_red="open the room; machines that could not be woken are in caretaker ready SCHOOL.",
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Machines by state",
                "How many machines were in each state through the span.",
                queries.school_states_over_time(),
                height=9,
                stacked=True,
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Incidents that are open",
                "Opened or changed within 30 days and not over, newest change first.",
                queries.incidents(queries.SCHOOL),
                height=8,
                when_red="priority 1 or 2: take it at the desk and say what is being done.",
                good_when_empty=True,
                time_from="now-30d",
            ),
        ),
    ),
)
