"""A form in front of somebody who is typing: no fault flashes up, and none is hidden once the field is left."""

import asyncio
import re
from collections.abc import Mapping

from asgi import ask
from caretaker_dashboards.desk.views import Answered
from caretaker_rules.roles import Who
from desk_stub import CSRF, StubActs, StubData, desk


class HalfTyped(StubActs):
    """Cannot read the time yet."""

    async def preview(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
        return Answered(lines=["31 machines in ICT1", "Until is missing."], incomplete=True)


async def test_a_fault_is_told_when_the_field_is_left_and_not_in_the_middle_of_a_word() -> None:
    data = StubData(2)
    app = desk(data, HalfTyped(data))
    form = {"csrf": CSRF, "place": "ash/ict1", "for": "1"}
    typing = await ask(app, "/act/hold/preview", form=form)
    assert (typing.status, typing.text) == (204, "")
    left = await ask(app, "/act/hold/preview", form=form | {"settled": "yes"})
    assert left.status == 200
    assert "31 machines in ICT1" in left.text
    assert '<p class="warn-text"><bdi>Until is missing.</bdi></p>' in left.text
    opened = await ask(app, "/act/hold?place=ash%2Fict1")
    assert "31 machines in ICT1" in opened.text


async def test_a_clock_of_an_incident_is_said_once() -> None:
    app = desk(StubData(2))
    incident = await ask(app, "/incidents/12")
    assert incident.text.count("37 min left") == 1


async def test_a_form_that_is_sent_twice_is_done_once_and_another_form_again() -> None:
    """A double click, and two tabs that were opened one after the other."""
    data = StubData(2)
    acts = StubActs(data)
    app = desk(data, acts)
    names = []
    for _ in range(2):
        opened = await ask(app, "/act/hold?place=ash%2Fict1")
        found = re.search(r'name="once" value="([^"]+)"', opened.text)
        assert found is not None
        names.append(found[1])
    form = {"csrf": CSRF, "place": "ash/ict1", "for": "1 h", "reason": "club"}
    answers = await asyncio.gather(*(ask(app, "/act/hold", form=form | {"once": names[0]}) for _ in range(5)))
    assert {(answer.status, "Done: 27 machines" in answer.text) for answer in answers} == {(200, True)}
    assert len(acts.acted) == 1
    assert "once" not in acts.acted[0][2]
    await ask(app, "/act/hold", form=form | {"once": names[1]})
    await ask(app, "/act/hold", form=form | {"once": names[0], "reason": "another club"})
    await ask(app, "/act/hold", form=form)
    assert len(acts.acted) == 4
    refused = [await ask(app, "/act/hold", form=form | {"once": names[0], "reason": ""}) for _ in range(2)]
    assert {answer.status for answer in refused} == {409}
