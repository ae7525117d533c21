"""The first page: five figures against target, the month before and the year before, each with one plain sentence."""

from typing import Literal, cast

from caretaker_collector.review import totals
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs
from caretaker_collector.sla.view import clock
from caretaker_dashboards.review.pack import Headline, Page, Section, Sentence, Unit
from caretaker_rules import sla
from caretaker_rules.calendar import local

Verdict = Literal["met", "missed", "cannot tell", "no target"]
SEATS = "use.seats"
NO_SEATS = "no booked lesson was seen"


def headlines(inputs: Inputs, facts: Facts) -> list[Headline]:
    """The five. The facts of `totals` are there, and those of the page of use where it has any."""
    _seats(facts)
    return [
        _headline(facts, "availability", _availability(inputs), _availability_said(inputs, facts), "service"),
        _headline(facts, "incidents.fixed", _fixed(inputs), _fixed_said(inputs, facts), "service"),
        _headline(facts, "ready", _ready(inputs), _ready_said(facts), "service"),
        _headline(facts, "energy.used", _energy(inputs, facts), _energy_said(facts), "energy"),
        _headline(facts, SEATS, _seats_verdict(facts), _seats_said(facts), "use"),
    ]


def page(inputs: Inputs, facts: Facts) -> Page:
    """What to know before reading on; the headlines stand above it."""
    return Page(
        key="front",
        title=f"{inputs.span.title} in five figures",
        question=f"How was {inputs.span.title}, and what should we talk about?",
        sections=[
            Section(title="Before you read on", sentences=_notes(inputs, facts)),
            Section(
                title="What is not in here",
                sentences=[
                    facts.say(
                        "This is about the health of devices. Of people it is known whether somebody is signed in and "
                        "for how long nobody touched a machine: no name, no window title and no address is collected."
                    )
                ],
            ),
        ],
    )


def _headline(facts: Facts, key: str, verdict: Verdict, sentence: Sentence, page: str) -> Headline:
    target = f"{key}.target"
    return Headline(
        fact=key,
        target=target if facts.value(target) is not None else None,
        last_month=f"{key}.last_month",
        last_year=f"{key}.last_year",
        verdict=verdict,
        sentence=sentence,
        page=page,
    )


def _availability(inputs: Inputs) -> Verdict:
    if not inputs.now.targets:
        return "no target"
    return cast(Verdict, totals.VERDICTS[inputs.now.verdict])


def _availability_said(inputs: Inputs, facts: Facts) -> Sentence:
    now = inputs.now
    if facts.value("availability") is None:
        return facts.say(f"There is no figure: {facts.known['availability'].why_not}.", "note")
    text = "Of {availability.owed} that machines were owed, they were down for {availability.down}"
    if now.availability.unseen_ms:
        text += "; {availability.unseen} nobody could see, which makes the range"
    text += "."
    if now.verdict is sla.Verdict.BLIND and now.availability.unseen_ms:
        text += " The target lies within the range, so nobody can tell."
    elif facts.value("availability.gap") is not None:
        text += " That is {availability.gap} against the target."
    return facts.say(text)


def _fixed(inputs: Inputs) -> Verdict:
    target = inputs.target("fixed_in_time")
    in_time, late, _ = inputs.now.fixed
    ratio = in_time / (in_time + late) if in_time + late else None
    return cast(Verdict, totals.fits(ratio, target.value if target else None, _at_least))


def _fixed_said(inputs: Inputs, facts: Facts) -> Sentence:
    if inputs.now.no_service:
        return facts.say(f"There is no figure: {inputs.now.no_service}.", "note")
    in_time, late, running = inputs.now.fixed
    if not in_time + late + running:
        return facts.say("No incident with a clock was opened.")
    parts = []
    if in_time or late:
        parts.append("{incidents.in_time} of {incidents.decided} incidents were fixed in time")
    if late:
        parts.append("{incidents.late} took longer than was promised")
    if running:
        parts.append("{incidents.running} still open, and not late" if parts else "{incidents.running} open, none late")
    return facts.say("; ".join(parts) + ".")


def _ready(inputs: Inputs) -> Verdict:
    target = inputs.target("rooms_ready")
    ready, lessons = inputs.now.ready
    return cast(Verdict, totals.fits(ready / lessons if lessons else None, target.value if target else None, _at_least))


def _ready_said(facts: Facts) -> Sentence:
    why = facts.known["ready"].why_not
    if why:
        return facts.say(f"There is no figure: {why}.", "note")
    return facts.say("{ready.in_time} of {ready.lessons} lessons began in a room with enough machines on.")


def _energy(inputs: Inputs, facts: Facts) -> Verdict:
    target, used = facts.value("energy.used.target"), facts.value("energy.used")
    return cast(
        Verdict,
        totals.fits(
            used if isinstance(used, float) else None,
            target if isinstance(target, float) else None,
            lambda value, most: value <= most,
        ),
    )


def _energy_said(facts: Facts) -> Sentence:
    if facts.value("energy.used") is None:
        return facts.say(f"There is no figure: {facts.known['energy.used'].why_not}.", "note")
    if facts.value("energy.avoided") is None:
        return facts.say("What was avoided is not known: no observe period is on record to compare with.", "note")
    text = "Rules and people who switch off avoided {energy.avoided}"
    worth = [f"{{energy.avoided{end}}}" for end in ("_gbp", "_kg") if facts.value(f"energy.avoided{end}") is not None]
    of_what = " of CO2e" if len(worth) > 1 else ""
    return facts.say(f"{text}, which is {' and '.join(worth)}{of_what}." if worth else f"{text}.")


def _seats(facts: Facts) -> None:
    """Where the page of use says nothing of them, they are not known."""
    for end in ("", ".last_month", ".last_year"):
        if f"{SEATS}{end}" not in facts:
            facts.add(f"{SEATS}{end}", "seats used in booked lessons", Unit.PERCENT, None, why_not=NO_SEATS)


def _seats_verdict(facts: Facts) -> Verdict:
    target, value = facts.value(f"{SEATS}.target"), facts.value(SEATS)
    given = [float(each) if isinstance(each, int | float) else None for each in (value, target)]
    return cast(Verdict, totals.fits(given[0], given[1], _at_least))


def _seats_said(facts: Facts) -> Sentence:
    if facts.value(SEATS) is None:
        return facts.say(f"There is no figure: {facts.known[SEATS].why_not}.", "note")
    return facts.say("{use.seats} of the seats of booked lessons were used.")


def _at_least(value: float, target: float) -> bool:
    return value >= target - 1e-9


def _notes(inputs: Inputs, facts: Facts) -> list[Sentence]:
    """What a reader has to know about these figures as a whole."""
    now_ms, zone = inputs.sources.now_ms, inputs.zone
    notes = []
    if not inputs.over:
        facts.add("made.until", "figures are up to", Unit.MOMENT, now_ms)
        notes.append(facts.say("The span is not over: these are the figures so far, up to {made.until}.", "note"))
    waiting = sum(len(each.service.months.waiting) for each in inputs.schools)
    if waiting:
        facts.add("made.waiting", "school days that are still to be computed", Unit.COUNT, waiting, source="dirty_days")
        notes.append(
            facts.say(
                "{made.waiting} days have still to be computed again; what they change comes as a revision.", "note"
            )
        )
    watched_ms = min((each.service.watched_ms for each in inputs.schools if each.service.watched_ms), default=None)
    if watched_ms is None:
        notes.append(facts.say("Caretaker has seen nothing yet: start its collector, and look again.", "bad"))
    elif local(watched_ms, zone).date() > inputs.span.first:
        facts.text("made.watched", "Caretaker has watched since", clock(watched_ms, zone))
        notes.append(facts.say("Caretaker has watched since {made.watched}; what lies before is in no figure.", "note"))
    revised = [stated for each in inputs.schools for stated in each.service.months.stated if stated.revision > 1]
    if revised:
        facts.add("made.revised", "revisions of months that had been shown", Unit.COUNT, len(revised), source="stated")
        notes.append(
            facts.say("{made.revised} times a month that had been shown came out otherwise: see Service.", "note")
        )
    if inputs.now.no_service == "no service level was agreed":
        notes.append(
            facts.say(
                "No service level was agreed for these days, so nothing is owed: write one in service.toml and name it "
                "in estate.toml.",
                "note",
            )
        )
    if facts.value("blind.minutes"):
        notes.append(facts.say("For {blind.minutes} of service Caretaker itself could not see: see Service.", "note"))
    return notes or [facts.say("All days were computed, and nothing was revised.", "good")]


def illustrative(inputs: Inputs) -> bool:
    """Whether a level that was in force is an example."""
    return any(part.illustrative for each in inputs.schools for part in each.service.months.parts)
