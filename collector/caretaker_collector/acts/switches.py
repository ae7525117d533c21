"""The stop switch, on and off (over `people.py`), and the links of rooms (over `stays.py`)."""

from caretaker_collector import ledger, people, stays
from caretaker_collector.acts import places, words
from caretaker_collector.acts.base import Action, Ctx, Done, ReasonBody, said
from caretaker_collector.stages.recall import called_back
from caretaker_dashboards.desk.views import Answered, Offer
from caretaker_rules.model import Stop
from caretaker_rules.roles import Permission


def _where(ctx: Ctx) -> tuple[str | None, str | None]:
    scope = ctx.place.scope
    return (scope.school, scope.room) if scope is not None else (None, None)


def _stops_here(ctx: Ctx) -> list[Stop]:
    """The stop switches of exactly this place."""
    return [stop for stop in people.stopped(ctx.db) if (stop.school, stop.room) == _where(ctx)]


def _count(ctx: Ctx) -> int:
    scope = ctx.place.scope
    return len(scope.devices(ctx.estate)) if scope is not None else len(ctx.estate.devices)


def _stop(ctx: Ctx, body: ReasonBody) -> Done:
    people.stop(ctx.db, *_where(ctx), ctx.now_ms, body.reason)
    undo = Offer(action="resume", label="Turn the stop switch off", place=ctx.place.text)
    link = places.link_of(ctx.place.scope)
    return Done(Answered(lines=[f"stopped: {ctx.place.text} ({body.reason})"], link=link, undo=undo), noted=body.reason)


def _stop_preview(ctx: Ctx, body: ReasonBody) -> Done:
    school, room = _where(ctx)
    coming = Stop(school=school, room=room, since_ms=ctx.now_ms, reason=body.reason)
    down = len(called_back(ledger.can_still_switch(ctx.db, ctx.now_ms), ctx.estate, [], [coming]))
    lines = [f"Nothing is sent to {words.machines(_count(ctx))} in {ctx.place.title} any more, neither off nor on."]
    lines.append(
        f"{words.machines(down)} counting down now {'is' if down == 1 else 'are'} called back."
        if down
        else "No machine is counting down there now."
    )
    lines += [f"It is stopped already: {stop.reason}." for stop in _stops_here(ctx)]
    return said(*lines)


def _resume(ctx: Ctx, body: ReasonBody) -> Done:
    before = _stops_here(ctx)
    ended = people.resume(ctx.db, *_where(ctx), ctx.now_ms)
    text, link = ctx.place.text, places.link_of(ctx.place.scope)
    if not ended:
        return said(f"{text} was not stopped", ok=False, link=link)
    undo = Offer(action="stop", label="Stop it again", place=text, fields={"reason": before[-1].reason})
    return Done(Answered(lines=[f"resumed: {text}"], link=link, undo=undo), noted=body.reason)


def _resume_preview(ctx: Ctx, body: ReasonBody) -> Done:
    here = _stops_here(ctx)
    if not here:
        return said(f"{ctx.place.text} is not stopped.", ok=False)
    lines = [f"Rules and orders switch {words.machines(_count(ctx))} in {ctx.place.title} again."]
    school, room = _where(ctx)
    wider = [stop for stop in people.stopped(ctx.db) if stop not in here and stop.school in (None, school)]
    if any(stop.room in (None, room) for stop in wider):
        lines.append("A wider stop switch is on all the same: as long as it is, nothing is sent.")
    return said(*lines)


def _link(ctx: Ctx, body: ReasonBody) -> Done:
    assert ctx.scope.room is not None
    stays.link_of(ctx.db, ctx.scope.school, ctx.scope.room, ctx.now_ms)
    line = f"{ctx.place.title} has a link with which anybody in it keeps it on for a while; print it on the room's page"
    undo = Offer(action="revoke_stay_link", label="Take the link back", place=ctx.place.text)
    return Done(Answered(lines=[line], link=places.link_of(ctx.place.scope), undo=undo), noted=body.reason)


def _has_link(ctx: Ctx) -> bool:
    assert ctx.scope.room is not None
    return stays.has_link(ctx.db, ctx.scope.school, ctx.scope.room)


def _link_preview(ctx: Ctx, body: ReasonBody) -> Done:
    if _has_link(ctx):
        return said(f"{ctx.place.title} has a link already; the same one is shown.")
    return said(
        f"A link for {ctx.place.title} is made: whoever has it may keep its {words.machines(_count(ctx))} on.",
        "It can only keep machines on, and can be taken back.",
    )


def _revoke(ctx: Ctx, body: ReasonBody) -> Done:
    assert ctx.scope.room is not None
    done = stays.revoke(ctx.db, ctx.scope.school, ctx.scope.room, ctx.now_ms)
    text, link = ctx.place.text, places.link_of(ctx.place.scope)
    if not done:
        return said(f"{text} has no link", ok=False, link=link)
    return Done(Answered(lines=[f"the link of {text} no longer works"], link=link), noted=body.reason)


def _revoke_preview(ctx: Ctx, body: ReasonBody) -> Done:
    if not _has_link(ctx):
        return said(f"{ctx.place.title} has no link.", ok=False)
    return said(f"The printed link of {ctx.place.title} stops working for good; a new one has another address.")


ACTIONS = (
    Action(
        name="stop",
        label="Stop",
        title="Stop Caretaker at {place}",
        explains="Nothing is sent there any more, and what counts down there is called back, until it is turned off.",
        permission=Permission.STOP,
        kinds=("estate", "school", "room"),
        body=ReasonBody,
        preview=_stop_preview,
        do=_stop,
    ),
    Action(
        name="resume",
        label="Resume",
        title="Turn the stop switch of {place} off",
        explains="Rules and orders switch machines there again.",
        permission=Permission.STOP,
        kinds=("estate", "school", "room"),
        body=ReasonBody,
        preview=_resume_preview,
        do=_resume,
        danger=True,
    ),
    Action(
        name="stay_link",
        label="Link for the room",
        title='A "we are still here" link for {place}',
        explains="Whoever has the link may keep this room on for a while, and nothing else.",
        permission=Permission.ADMINISTER,
        kinds=("room",),
        body=ReasonBody,
        preview=_link_preview,
        do=_link,
    ),
    Action(
        name="revoke_stay_link",
        label="Take the link back",
        title="Take the link of {place} back",
        explains="The link, and every printed copy of it, stops working for good.",
        permission=Permission.ADMINISTER,
        kinds=("room",),
        body=ReasonBody,
        preview=_revoke_preview,
        do=_revoke,
    ),
)
