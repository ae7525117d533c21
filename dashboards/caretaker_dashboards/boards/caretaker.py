"""Caretaker itself: whether what the other boards show can be trusted."""

from caretaker_dashboards import queries
from caretaker_dashboards.describe import GOOD, PLAIN, RED, WATCH, Audience, Board, Column, Kind, Panel, Step, Unit

_ANY = (Step(None, GOOD), Step(1, RED))

BOARD = Board(
    name="caretaker",
    title="Caretaker itself",
    about="Lag, quarantine, what was dropped, replays, commands, certificates: can the figures be trusted?",
    audience=Audience.CARETAKER,
    span=("now-24h", "now"),
    rows=(
        (
            Panel(
                Kind.TABLE,
                "Collectors now",
                "A collector in each row: parts that work, how far it is behind, agents that are silent, and when the "
                "first of its certificates ends.",
                queries.itself_now(),
                height=6,
                when_red="behind: look at the store and its disk. Certificate: renew it with deploy/certificates.sh.",
            ),
        ),
        (
            Panel(
                Kind.STAT,
                "Lost or put aside in the span",
                "Messages put aside as they break the contract, and numbered ones that their device no longer has.",
                queries.itself_in_span(
                    (
                        Column("quarantined", "put aside", steps=_ANY),
                        Column("dropped", "dropped", steps=_ANY),
                        Column("tellings_failed", "not told to people", steps=_ANY),
                    )
                ),
                width=10,
                height=6,
                when_red="caretaker quarantine shows each message that was put aside, with its reason.",
            ),
            Panel(
                Kind.STAT,
                "Gaps and replays in the span",
                "Missing numbers that all came after all, times that devices were asked again, and repeats.",
                queries.itself_in_span(
                    (
                        Column("gaps_closed", "gaps closed"),
                        Column("replays", "asked again"),
                        Column("duplicates", "repeats"),
                    )
                ),
                width=14,
                height=6,
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Behind by",
                "Journal records that the rules and the store have not dealt with.",
                queries.itself_over_time((Column("core_lag", "rules"), Column("recorder_lag", "store"))),
                width=12,
            ),
            Panel(
                Kind.LINES,
                "Messages and points",
                "Messages read and points stored in each interval.",
                queries.itself_counted((Column("received", "messages"), Column("stored", "points"))),
                width=12,
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "What came of commands",
                "Commands carried out, stopped by somebody at the machine, refused, failed, and never answered.",
                queries.itself_counted(
                    (
                        Column("commands_done", "done", colour=GOOD),
                        Column("commands_vetoed", "vetoed", colour=WATCH),
                        Column("commands_refused", "refused", colour=PLAIN),
                        Column("commands_failed", "failed", colour="#53565c"),
                        Column("commands_unanswered", "no answer", colour="#173475"),
                    )
                ),
                width=12,
                bars=True,
                stacked=True,
            ),
            Panel(
                Kind.LINES,
                "Journal and state on disk",
                "Size of the journal and of the state file.",
                queries.itself_over_time(
                    (Column("journal_bytes", "journal", Unit.BYTES), Column("state_bytes", "state", Unit.BYTES))
                ),
                width=12,
            ),
        ),
        (
            Panel(
                Kind.LINES,
                "Agents that are silent",
                "Devices that should report and are lost, or were never heard.",
                queries.itself_over_time((Column("agents_silent", "silent"), Column("agents", "of agents"))),
                width=12,
            ),
            Panel(
                Kind.LINES,
                "Age of the oldest message that waits",
                "Rules that decide on old reports leave machines on: it should stay near zero.",
                queries.itself_over_time((Column("behind_s", "oldest waiting", Unit.SECONDS),)),
                width=12,
            ),
        ),
    ),
)
