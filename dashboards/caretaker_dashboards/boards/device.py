"""Device: one machine, its day, its month, and what was asked of it."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import RED, Audience, Board, Kind, Mark, Panel, Pick

_ONE = f"{queries.SCHOOL} AND {queries.ROOM} AND {queries.DEVICE}"

BOARD = Board(
    name="device",
    title="Device",
    about="One machine: what it was, what it was asked, how it does.",
    audience=Audience.DESK,
    picks=(Pick.SCHOOL, Pick.ROOM, Pick.DEVICE),
    span=("now-24h", "now"),
    for_school=True,
    marks=(Mark("Incidents", queries.incident_marks(_ONE), "kind", "action", RED),),
    rows=(
        (
            Panel(
                Kind.STATES,
                "State",
                "What the machine was through the span, in the eight states.",
                queries.machine_states(_ONE),
                height=4,
                when_red="it should be heard and is not. The incident says since when, and what it hangs on.",
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Untouched for",
                "For how long nobody had touched keyboard or mouse; never who.",
                queries.machine_untouched(),
                width=12,
            ),
            Panel(
                Kind.LINES,
                "Processor, memory, disk",
                "Shares in use. A disk above 95 % makes updates fail.",
                queries.machine_readings(),
                width=12,
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Hours of each day",
                "Hours in each state for each of the last 30 days; what nobody saw is blind.",
                queries.machine_days(),
                width=18,
                stacked=True,
                bars=True,
                time_from="now-30d",
            ),
            Panel(
                Kind.STAT,
                "Starts a day",
                "Starts a day over 30 days: disks are rated for some tens of thousands.",
                queries.machine_power_cycles(),
                width=6,
                when_red="more than six a day wears a disk: see which rule and which wake do it with caretaker why.",
                time_from="now-30d",
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "What was asked of it",
                "Every step of every command in the span, newest first.",
                queries.machine_commands(),
                good_when_empty=True,
            ),
        ),
    ),
)
