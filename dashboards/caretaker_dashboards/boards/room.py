"""Room: a day's strip for each machine, its lessons and holds above it, and marks of what was decided."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import GOOD, RED, WATCH, Audience, Board, Kind, Mark, Panel, Pick

BOARD = Board(
    name="room",
    title="Room",
    about="One room: what each machine was through the day, lessons, holds and what Caretaker did.",
    audience=Audience.DESK,
    picks=(Pick.SCHOOL, Pick.ROOM),
    span=("now-24h", "now"),
    for_school=True,
    marks=(
        Mark("Lessons begin", queries.lesson_marks(), "ready", "", WATCH),
        Mark("Commands that ended", queries.command_marks(), "verb", "step,device", GOOD),
        Mark("Incidents", queries.incident_marks(), "kind", "action", RED),
    ),
    rows=(
        (
            Panel(
                Kind.STATES,
                "Lessons and holds",
                "When the room had a lesson or booking, and when a hold, freeze or maintenance was in force.",
                queries.room_lessons(),
                height=4,
                options={"showValue": "never"},
            ),
        ),
        (
            Panel(
                Kind.STATES,
                "Machines",
                "A strip for each machine, in the eight states; marks are lessons, commands and incidents.",
                queries.machine_states(f"{queries.SCHOOL} AND {queries.ROOM}"),
                height=16,
                when_red="a lost machine should be heard and is not. The incident says since when; if many are, see "
                "their switch first.",
                options={"showValue": "never"},
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "What each machine said last",
                "The newest report of each machine in the span, with what keeps it on or off.",
                queries.room_machines(),
                width=16,
                height=11,
                when_red="its disk is nearly full, and updates fail first: clear it, or raise an incident at the desk.",
            ),
            Panel(
                Kind.LINES,
                "Machines on when lessons began",
                "How many machines were on at the start of each lesson, of those that it needed.",
                queries.room_ready_over_time(),
                width=8,
                height=11,
                time_from="now-7d",
                custom={"drawStyle": "points", "showPoints": "always"},
            ),
        ),
    ),
)
