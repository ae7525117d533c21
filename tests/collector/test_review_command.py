"""`caretaker review`: packs from the command line, kept and listed, and what it says when there is none."""

import json
import threading
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.review import shelf
from caretaker_collector.review.make import Job, Wish, make
from caretaker_collector.settings import load_collector
from caretaker_contract.clock import CLOCK_VARIABLE, Clock
from review_world import END_MS, ReviewWorld

pytestmark = pytest.mark.slow


@pytest.fixture
def world(review_world: ReviewWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReviewWorld:
    """A month of two schools that may be written to; commands live on Thu 1 Oct 2026, 09:30."""
    at(monkeypatch, END_MS)
    return review_world.copy(tmp_path / "world")


def at(monkeypatch: pytest.MonkeyPatch, now_ms: int) -> None:
    """From when on commands live."""
    monkeypatch.setenv(CLOCK_VARIABLE, Clock(now_ms / 1000, time.time(), 0.001).to_environment()[CLOCK_VARIABLE])


def run(world: ReviewWorld, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(app, ["review", *words, "--config", str(world.config)])


def test_last_months_pack_is_kept_listed_and_shown_and_made_again_it_is_no_news(
    world: ReviewWorld, tmp_path: Path
) -> None:
    """All three files, as the issue writes it: a place and a month, or a place alone."""
    made = run(world, "ash", "2026-09", "--out", str(tmp_path / "out"), "--format", "pdf,xlsx")
    assert made.exit_code == 0, made.stderr
    names = ["ash-2026-09.pdf", "ash-2026-09.xlsx"]
    assert [Path(line).name for line in made.stdout.splitlines()] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    folder = world.folder / "data/review/ash/2026-09/r1"
    assert sorted(path.name for path in folder.iterdir()) == ["ash-2026-09.html", *names, "pack.json"]
    assert "kept as the first edition" in made.stderr and "Availability 99." in made.stderr
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    again = run(world, "ash", "--json")
    [pack] = json.loads(again.stdout)["packs"]
    assert (pack["state"], pack["period"], pack["revision"]) == ("unchanged", "2026-09", 1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    listed = run(world, "list")
    assert "revision 1" in listed.stdout and "first made" in listed.stdout and "sent to: nobody" in listed.stdout
    shown = run(world, "show", "ash", "2026-09")
    assert "September 2026, first edition" in shown.stdout and "1  Availability: 99." in shown.stdout
    assert str(folder / "ash-2026-09.pdf") in shown.stdout


def test_each_school_is_drawn_and_one_that_cannot_be_stops_no_other(world: ReviewWorld, tmp_path: Path) -> None:
    """Where a folder cannot be made for one, its error says so; exit code 1."""
    out = tmp_path / "out"
    out.mkdir()
    (world.folder / "data/review").mkdir()
    (world.folder / "data/review/ash").write_text("a file where a folder should be")
    made = run(world, "--all", "2026-09", "--out", str(out), "--format", "xlsx", "--processes", "2")
    assert made.exit_code == 1
    assert "ash 2026-09: " in made.stderr and "1 of 2 packs were made" in made.stderr
    assert [path.name for path in out.iterdir()] == ["oak-2026-09.xlsx"]


def test_a_pack_may_not_take_all_memory(world: ReviewWorld, tmp_path: Path) -> None:
    """With too little for any pack each says that there is none, and nothing hangs."""
    starved = list(make(wish_of(world, tmp_path), JOBS, processes=2, memory_bytes=100 * 1024**2))
    assert {made.place for made in starved} == {"ash", "oak"}
    assert {made.state for made in starved} == {"failed"} and list(tmp_path.glob("*.xlsx")) == []


def test_packs_whose_worker_died_are_made_alone(world: ReviewWorld, tmp_path: Path) -> None:
    """The first worker that shows itself is killed."""
    killed = threading.Thread(target=kill_a_child)
    killed.start()
    made = list(make(wish_of(world, tmp_path), JOBS, processes=2))
    killed.join()
    assert sorted((each.place, each.state) for each in made) == [("ash", "drawn"), ("oak", "drawn")]


JOBS = [Job("ash", "2026-09"), Job("oak", "2026-09")]


def wish_of(world: ReviewWorld, out: Path) -> Wish:
    """Spreadsheets only: quick."""
    return Wish(settings=load_collector(world.config), now_ms=END_MS, keeps=False, out=str(out), kinds=("xlsx",))


def kill_a_child() -> None:
    """The first process that this one has started for packs."""
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        for child in psutil.Process().children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                return
        time.sleep(0.01)


def test_days_that_are_not_over_are_drawn_so_far_and_not_kept(world: ReviewWorld, tmp_path: Path) -> None:
    made = run(world, "oak", "2026-10", "--format", "xlsx", "--out", str(tmp_path / "out"))
    assert "so far" in made.stderr and (tmp_path / "out/oak-2026-10.xlsx").is_file()
    term = run(world, "network:green", "--from", "2026-09-01", "--to", "2026-12-18", "--format", "xlsx")
    [file] = term.stdout.splitlines()
    assert term.exit_code == 0 and file.endswith("network-green-2026-09-01--2026-12-18.xlsx")
    with_db = state.open_state(world.folder / "data/state.db", read_only=True)
    assert shelf.newest(with_db) == []


def test_a_month_of_which_nothing_is_recorded_is_drawn_and_says_so_and_is_a_finding(world: ReviewWorld) -> None:
    made = run(world, "ash", "2026-05", "--format", "xlsx")
    assert made.exit_code == 1
    assert "nothing was recorded of these days" in made.stderr
    assert not (world.folder / "data/review/ash/2026-05").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ash", "2026-13"), "2026-13  is no month; write it as 2026-09"),
        (("ash", "2026-11"), "2026-11  has not begun: there is nothing to review before 2026-11-01"),
        (("elm",), "no school 'elm'; there are: ash, oak"),
        (("ash/ict1",), "a review is of a school, of network:NAME, or of all"),
        (("ash", "--format", "docx"), "there are: html, pdf, xlsx"),
        (("ash", "--from", "2026-09-01"), "belong together"),
        (("ash", "2026-09", "--from", "2026-09-01", "--to", "2026-09-02"), "give a month, or days"),
        (("--from", "2026-09-01", "--to", "2026-09-30"), "say of what"),
        (("ash", "2026-09", "--all"), "say of what"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(world: ReviewWorld, words: tuple[str, ...], said: str) -> None:
    result = run(world, *words)
    assert said in str(result.exception) + result.stderr and result.exit_code != 0
    assert not (world.folder / "data/review").exists()


def test_what_is_not_kept_is_not_shown_and_the_command_that_makes_it_is(world: ReviewWorld) -> None:
    shown = run(world, "show", "ash", "2026-09")
    assert shown.exit_code == 3 and "caretaker review ash 2026-09" in shown.stderr
    assert run(world, "list").exit_code == 1
    assert run(world, "action", "list", "ash").exit_code == 0


def test_a_progress_bar_is_for_terminals_only(world: ReviewWorld) -> None:
    made = run(world, "oak", "2026-05", "--format", "xlsx")
    assert "━" not in made.stderr and "\x1b" not in made.stderr
