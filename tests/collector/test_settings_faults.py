"""Every mistake that a person can make in a settings file gets its line, its key and a remedy, word for word.

settings/NAME.bad.toml holds the mistake, settings/NAME.expected what `caretaker check` says about it.
"""

from pathlib import Path

import pytest

from caretaker_collector.settings import check_files, load_estate
from caretaker_contract.errors import ConfigError

SETTINGS = Path(__file__).parent / "settings"
BAD = sorted(path.name for path in SETTINGS.glob("*.bad.toml"))


@pytest.fixture(autouse=True)
def _beside_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SETTINGS)


@pytest.mark.parametrize("name", BAD)
def test_each_mistake_gets_exactly_its_message(name: str) -> None:
    expected = Path(name.replace(".bad.toml", ".expected")).read_text(encoding="utf-8").splitlines()
    assert expected, "a bad file without a message proves nothing"
    assert check_files([Path(name)]).faults == expected


def test_there_is_a_case_for_every_kind_of_file() -> None:
    assert {name.partition("-")[0] for name in BAD} >= {"estate", "collector", "agent", "alerts", "policy", "service"}
    assert len(BAD) > 60


def test_good_files_have_no_faults() -> None:
    checked = check_files([Path(f"good-{kind}.toml") for kind in ("estate", "collector", "agent", "alerts", "service")])
    assert checked.faults == []


def test_several_files_are_checked_in_one_go_and_each_mistake_is_said_once() -> None:
    files = [Path("estate-register-mac.bad.toml"), Path("register-mac.csv"), Path("policy-mode.bad.toml")]
    faults = check_files(files).faults
    assert len([fault for fault in faults if fault.startswith("register-mac.csv:3")]) == 1
    assert faults[-1].startswith("policy-mode.bad.toml:2")
    assert len(faults) == 6


def test_the_last_column_is_aligned_over_all_faults() -> None:
    faults = check_files([Path("estate-many-faults.bad.toml")]).faults
    columns = {len(fault) - len(fault.split("   ", 1)[1].lstrip()) for fault in faults}
    assert len(columns) == 1


def test_a_file_that_is_not_there_or_no_text_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "picture.toml").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "empty.csv").write_bytes(b"")
    gone, picture, folder = tmp_path / "gone.toml", tmp_path / "picture.toml", tmp_path
    texts = [fault.partition("   ")[2].strip() for fault in check_files([gone, picture, folder]).faults]
    assert texts == ["no such file", "not UTF-8 (byte 1): save it as TOML in UTF-8", "a folder, not a file"]
    assert 'column "device"' in check_files([tmp_path / "empty.csv"]).faults[0]


def test_loading_an_estate_raises_all_its_faults_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_estate(Path("estate-many-references.bad.toml"))
    assert caught.value.faults == Path("estate-many-references.expected").read_text(encoding="utf-8").splitlines()


def test_checking_tells_how_many_series_the_estate_will_make(tmp_path: Path) -> None:
    (tmp_path / "devices.csv").write_text("device,room,class\na,ict1,thin_client\nb,ict1,thin_client\n")
    text = Path("good-estate.toml").read_text(encoding="utf-8").replace("[[schools.terms]]", "", 1)
    text = text.replace('name = "ash"', 'name = "ash"\ndevices = "devices.csv"').replace("starts = 2026-09-02\n", "")
    (tmp_path / "estate.toml").write_text(text.replace("ends = 2026-12-18\n", ""))
    (note,) = check_files([tmp_path / "estate.toml"]).notes
    assert note.endswith(
        "2 schools, 1 room, 2 devices; InfluxDB series at most 30 (2 x 5 of devices, 1 x 8 of rooms, 2 x 5 of schools, "
        "2 of Caretaker), and 2 for each rule of a school"
    )
