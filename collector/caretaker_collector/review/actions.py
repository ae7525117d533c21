"""The page of actions: what was carried over, what is new, and who hosts and chairs the next meeting."""

from collections.abc import Sequence
from datetime import date

from caretaker_collector.review import action_book
from caretaker_collector.review.action_book import RULES, Action
from caretaker_collector.review.columns import told_apart
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs
from caretaker_dashboards.review.pack import Column, Page, Section, Sentence, Table, Unit, Value
from caretaker_rules.calendar import local
from caretaker_rules.rota import Meeting, after, next_meeting

NO_NETWORK = 'the school is in no network, so there is no rota: give it network = "..." in estate.toml'
NO_HOST = "every school of the network asks not to host (hosts = false under [schools.review] in estate.toml)"
ADD = 'caretaker review action add {school} "what" --role "whose" --due 2026-11-02'


async def page(inputs: Inputs, facts: Facts) -> Page:
    """All of it, as it stands when the pack is made."""
    return Page(
        key="actions",
        title="Actions, and the next meeting",
        question="What did we agree, is it done, and who meets us next?",
        sections=[_actions(inputs, facts), _meetings(inputs, facts)],
    )


def _actions(inputs: Inputs, facts: Facts) -> Section:
    sources, start_ms = inputs.sources, inputs.from_ms
    today = local(sources.now_ms, inputs.zone).date()
    every = action_book.listed(sources.db, inputs.where.schools)
    every = [action for action in every if action.added_ms <= sources.now_ms]
    carried = [action for action in every if action.added_ms < start_ms and action.open_at(start_ms)]
    new = [action for action in every if action.added_ms >= start_ms]
    still = [action for action in every if action.open_at(sources.now_ms)]
    late = [action for action in still if action.due < today]
    for key, title, count in (
        ("open", "actions open", len(still)),
        ("late", "of these past their day", len(late)),
        (
            "done",
            "actions done since the span began",
            sum(_ended(a, start_ms) and not a.dropped for a in [*carried, *new]),
        ),
        ("new", "actions added since the span began", len(new)),
    ):
        facts.add(f"actions.{key}", title, Unit.COUNT, count, source="review actions", command=_command(inputs))
    sentences: list[Sentence] = []
    if every:
        sentences.append(
            facts.say(
                "{actions.open} actions are open; since the span began {actions.done} were done and {actions.new} "
                "added."
            )
        )
    if late:
        sentences.append(facts.say("{actions.late} of those open are past their day.", "bad"))
    place = inputs.where.schools[0] if inputs.one else "SCHOOL"
    titles = {each.school.name: each.school.title for each in inputs.schools}
    return Section(
        title="Actions",
        sentences=sentences,
        tables=[
            told_apart(inputs, table)
            for table in (
                _table(
                    "Actions carried over",
                    "Carried over",
                    carried,
                    today,
                    titles,
                    "Nothing was carried over into this span.",
                ),
                _table(
                    "Actions new",
                    "New",
                    new,
                    today,
                    titles,
                    f"Nothing new was written down. {ADD.format(school=place)}",
                ),
            )
        ],
    )


def _ended(action: Action, start_ms: int) -> bool:
    return action.ended_ms is not None and action.ended_ms >= start_ms


def _command(inputs: Inputs) -> str:
    return f"caretaker review action list {inputs.where.schools[0] if inputs.one else 'SCHOOL'}"


def _table(name: str, title: str, actions: Sequence[Action], today: date, titles: dict[str, str], empty: str) -> Table:
    rows: list[list[Value]] = [
        [
            action.number,
            titles[action.school],
            action.text,
            action.role,
            action.due.isoformat(),
            _state(action, today),
            action.note,
        ]
        for action in sorted(actions, key=lambda each: (each.ended_ms is not None, each.due, each.number))
    ]
    return Table(
        name=name,
        title=title,
        columns=[
            Column(key="number", title="Number", unit=Unit.COUNT),
            Column(key="school", title="School"),
            Column(key="action", title="Action"),
            Column(key="role", title="Whose"),
            Column(key="due", title="Due", unit=Unit.DATE),
            Column(key="state", title="State"),
            Column(key="note", title="Note"),
        ],
        rows=rows,
        empty=empty,
    )


def _state(action: Action, today: date) -> str:
    if action.ended_ms is not None:
        return "dropped" if action.dropped else "done"
    moved = ", moved" if action.moved else ""
    return f"past its day{moved}" if action.due < today else f"open{moved}"


def _meetings(inputs: Inputs, facts: Facts) -> Section:
    """The meeting that this pack is for, and the one after it, of each network of the pack."""
    rows: list[list[Value]] = []
    sentences: list[Sentence] = []
    networks = list(dict.fromkeys(each.school.network for each in inputs.schools if each.school.network))
    month = f"{inputs.span.last:%Y-%m}"
    why = "" if networks else NO_NETWORK
    estate = inputs.sources.estate
    for network in networks:
        now, following = _rota(inputs, network, month)
        if now is None or following is None:
            why = NO_HOST
            continue
        title = estate.networks[network].title or network
        for meeting in (now, following):
            names = [
                estate.schools[name].title if name in estate.schools else name for name in (meeting.host, meeting.chair)
            ]
            rows.append([title, meeting.month, names[0], f"ICT project director of {names[1]}"])
        key = f"meeting.{network}"
        facts.text(f"{key}_host", f"{title}: host of the next meeting", str(rows[-1][2]))
        facts.text(f"{key}_chair", f"{title}: chair of the next meeting", str(rows[-1][3]))
        facts.text(f"{key}_now", f"{title}: host of the meeting that this pack is for", str(rows[-2][2]))
        sentences.append(
            facts.say(
                f"{{{key}_now}} hosts the meeting about this span; the next is at {{{key}_host}}, chaired by the "
                f"{{{key}_chair}}."
            )
        )
    if not sentences:
        sentences.append(facts.say(f"There is no rota: {why}.", "note"))
    table = Table(
        name="Meetings",
        title="Meetings",
        columns=[
            Column(key="network", title="Network"),
            Column(key="month", title="About"),
            Column(key="host", title="Host"),
            Column(key="chair", title="Chair"),
        ],
        rows=rows,
        empty=f"No meeting: {why}." if why else "No meeting.",
        note="Whoever hosted least recently is next, and the school after it chairs. Where it was held otherwise: "
        "caretaker review meeting held NETWORK MONTH --host SCHOOL --chair SCHOOL.",
    )
    return Section(title="The next meeting", sentences=sentences, tables=[table])


def _rota(inputs: Inputs, network: str, month: str) -> tuple[Meeting | None, Meeting | None]:
    """The meeting about a month, as it is on record or comes next, and the one after it.

    Once the month is over, the first is written down: from then on the queue goes on from it.
    """
    sources = inputs.sources
    schools = [each for each in sources.estate.schools.values() if each.network == network and each.review.hosts]
    names = [each.name for each in schools]
    past = action_book.meetings(sources.db, network)
    now = next((meeting for meeting in past if meeting.month == month), None)
    if now is None:
        now = next_meeting(month, names, past)
        if now is not None and sources.states and inputs.over and inputs.span.month:
            action_book.hold(sources.db, network, now, RULES, sources.now_ms, keep=True)
    if now is None:
        return None, None
    known = [meeting for meeting in past if meeting.month < month]
    coming = next((meeting for meeting in past if meeting.month == after(month)), None)
    return now, coming or next_meeting(after(month), names, [*known, now])
