"""Network and server room: what is recorded of it so far: servers, other always-on classes, incidents of lines."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import Audience, Board, Kind, Panel, Pick

BOARD = Board(
    name="network",
    title="Network and server room",
    about="Servers, relays and other always-on machines, and incidents of lines. Ports, UPS and power feeds are not "
    "recorded yet.",
    audience=Audience.DESK,
    picks=(Pick.NETWORK, Pick.SCHOOLS),
    span=("now-24h", "now"),
    refresh="1m",
    rows=(
        (
            Panel(
                Kind.TABLE,
                "Always-on machines now",
                "The newest report of each machine of an always-on class.",
                queries.infrastructure_now(),
                height=10,
                when_red="a disk above 95 % stops updates and backups: clear it today.",
            ),
        ),
        (
            Panel(
                Kind.TABLE,
                "Their availability in 30 days",
                "Availability of each in hours of service, hours down, and energy.",
                queries.infrastructure_availability(),
                width=12,
                height=10,
                time_from="now-30d/d",
            ),
            Panel(
                Kind.TABLE,
                "Incidents of lines, servers and relays",
                "All of the last 30 days, those that are over too.",
                queries.incidents(more=queries.LINKS, only_open=False),
                width=12,
                height=10,
                when_red="priority 1 or 2: many machines hang on it. Take it at the desk.",
                good_when_empty=True,
                time_from="now-30d",
            ),
        ),
    ),
)
