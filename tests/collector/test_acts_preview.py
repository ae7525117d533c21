"""What the desk says beforehand: at once, whatever is still to be typed, and nothing to who may not act there."""

from pathlib import Path

import pytest

from acts_world import DIRECTOR, Desk
from caretaker_collector.acts.registry import ACTIONS
from caretaker_contract.messages import PowerState
from caretaker_dashboards.desk.views import Offer
from caretaker_rules.roles import ROLE_MAY, Role, Who

MANAGER = Who(name="meg", via="desk", may=ROLE_MAY[Role.MANAGER])
AT = {"estate": "all", "school": "ash", "room": "ash/ict1", "device": "ash/pc-000", "incident": "1", "record": "1"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.states(pc_000=PowerState.IN_USE, pc_001=PowerState.IDLE)
    return made


@pytest.mark.parametrize("action", ACTIONS)
async def test_each_form_says_what_it_touches_before_anything_is_typed(desk: Desk, action: str) -> None:
    await desk.act("hold", "ash/ict1", until="18:00", reason="club")
    for kind in ACTIONS[action].kinds:
        form = desk.acts.form(MANAGER, action, AT[kind], {})
        filled = {field.name: field.value for field in form.fields}
        looked = await desk.acts.preview(MANAGER, action, AT[kind], filled)
        assert not any("reason" in line or "What is missing" in line or "To whom" in line for line in looked.lines)
        assert looked.incomplete == (action == "merge"), looked
        assert looked.lines[0]
    assert [line.what for line in desk.log()] == ["hold"], "nothing is written"


async def test_what_cannot_be_read_yet_leaves_the_machines_named(desk: Desk) -> None:
    for until in ("", "18:", "yesterday"):
        looked = await desk.preview("hold", "ash/ict1", until=until)
        assert looked.lines[0] == "3 machines in ICT suite 1: 1 in use, 1 idle, 1 not heard of yet"
        assert looked.incomplete
    assert (await desk.preview("hold", "ash/pc-001", until="")).lines[0].startswith("pc-001: 1 idle")
    assert (await desk.preview("merge", "1")).lines[0] == "INC-1: ash/pc-000 is not heard any more"
    assert not (await desk.preview("hold", "ash/ict1", until="18:00")).incomplete


async def test_an_order_without_a_collector_still_names_its_machines(desk: Desk) -> None:
    looked = await desk.preview("shut_down", "ash/ict1")
    assert looked.lines[0].startswith("3 machines in ICT suite 1: 1 in use")
    assert "No collector took the order" in looked.lines[1]
    assert not looked.ok
    assert looked.lines[1].endswith("running?")


async def test_another_schools_director_learns_nothing_from_an_unfinished_form(desk: Desk) -> None:
    for place in ("oak/lab", "oak/nowhere", "elm/lab"):
        looked = await desk.acts.preview(DIRECTOR, "hold", place, {"until": "18:"})
        assert not looked.ok
        assert not looked.incomplete
        assert "machine" not in looked.lines[0].partition(":")[0]
    other, none = [await desk.acts.preview(DIRECTOR, "note", number, {}) for number in ("2", "77")]
    assert other.lines[0].replace("INC-2", "INC-77").replace("2", "77") == none.lines[0].replace("2", "77")


async def test_nobody_merges_into_the_first_of_a_list_by_leaving_it_as_it_is(desk: Desk) -> None:
    """Nor into an incident that was over by the time the form was asked for."""
    await desk.act("report", "ash/ict1", text="The projector hums")
    for given in ({}, {"into": "99"}):
        field = desk.acts.form(MANAGER, "merge", "1", given).fields[0]
        assert (field.value, field.choices[0]) == ("", ("", "choose one"))
    assert desk.acts.form(MANAGER, "merge", "1", {"into": "3"}).fields[0].value == "3"


def test_what_may_switch_machines_and_the_stop_switch_stand_apart(desk: Desk) -> None:
    def apart(offers: list[Offer]) -> set[str]:
        return {offer.action for offer in offers if offer.danger}

    assert apart(list(desk.acts.offers(MANAGER, "room", "ash/ict1"))) == {"shut_down", "restart", "sleep", "stop"}
    assert apart(list(desk.acts.offers(MANAGER, "incident", "1"))) == set()
