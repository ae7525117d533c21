"""The Windows platform over a faked interface: its judgement, not Windows itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caretaker_agent.platforms.windows import ACTIVE, DISCONNECTED, TICKS, CpuTimes, Session, Windows, age_ms
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Verb


class FakeApi:
    def __init__(self) -> None:
        self.tick, self.last_input = 1_000_000, 400_000
        self.boot_ms, self.awake = 7_200_000, 36_000_000_000
        self.own = 1
        self.table = [Session(0, DISCONNECTED, False), Session(1, ACTIVE, True)]
        self.cpu = CpuTimes(700, 1000)
        self.argv: list[list[str]] = []
        self.told: list[tuple[int, str, int]] = []
        self.suspended = 0
        self.agrees = True

    def tick_ms(self) -> int:
        return self.tick

    def last_input_tick_ms(self) -> int:
        return self.last_input

    def since_boot_ms(self) -> int:
        return self.boot_ms

    def awake_100ns(self) -> int:
        return self.awake

    def boot_number(self) -> int:
        return 42

    def own_session(self) -> int:
        return self.own

    def sessions(self) -> list[Session]:
        return self.table

    def cpu_times(self) -> CpuTimes:
        return self.cpu

    def disk_ratio(self) -> float | None:
        return 0.75

    def memory_ratio(self) -> float:
        return 0.5

    def shutdown(self, arguments: list[str]) -> bool:
        self.argv.append(arguments)
        return self.agrees

    def suspend(self) -> bool:
        self.suspended += 1
        return self.agrees

    def message(self, session: int, text: str, seconds: int) -> None:
        self.told.append((session, text, seconds))

    def shutting_down(self) -> bool:
        return True


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def test_the_last_input_of_ones_own_session_is_known(api: FakeApi) -> None:
    found = Windows(Clock(), api).look(full=True)
    assert found.input_age_s == 600
    assert found.session is True
    assert found.memory_ratio == 0.5
    assert found.disk_ratio == 0.75
    assert found.inhibited is False


def test_the_age_is_right_when_the_32_bit_tick_has_wrapped(api: FakeApi) -> None:
    api.tick, api.last_input = 5_000, TICKS - 10_000
    assert Windows(Clock(), api).look(full=False).input_age_s == 15


@given(st.integers(0, TICKS - 1), st.integers(0, TICKS - 1))
def test_an_age_over_the_wrap_is_never_negative_and_below_49_8_days(start: int, age: int) -> None:
    assert age_ms((start + age) % TICKS, start) == age


def test_a_service_cannot_tell_the_idle_time_of_somebody_elses_session(api: FakeApi) -> None:
    api.own = 0
    assert Windows(Clock(), api).look(full=False).input_age_s is None


def test_a_second_active_session_makes_it_unknown(api: FakeApi) -> None:
    api.table.append(Session(2, ACTIVE, True))
    assert Windows(Clock(), api).look(full=False).input_age_s is None


def test_a_session_left_disconnected_makes_it_unknown_to_a_service(api: FakeApi) -> None:
    api.own, api.table = 0, [Session(3, DISCONNECTED, True)]
    assert Windows(Clock(), api).look(full=False).input_age_s is None


def test_with_nobody_signed_in_the_age_is_the_time_without_anybody(api: FakeApi) -> None:
    api.own, api.table = 0, [Session(0, DISCONNECTED, False), Session(1, ACTIVE, False)]
    windows = Windows(Clock(), api)
    assert windows.look(full=False).input_age_s == 0
    api.boot_ms += 90_000
    found = windows.look(full=False)
    assert (found.input_age_s, found.session) == (90, False)


def test_sleep_is_what_the_two_clocks_differ_by(api: FakeApi) -> None:
    clocks = Windows(Clock(), api).clocks()
    assert (clocks.awake_s, clocks.since_boot_s, clocks.asleep_s) == (3600, 7200, 3600)


def test_processor_share_between_two_looks(api: FakeApi) -> None:
    windows = Windows(Clock(), api)
    assert windows.look(full=True).cpu_ratio is None
    api.cpu = CpuTimes(750, 1200)
    assert windows.look(full=True).cpu_ratio == pytest.approx(0.75)


def test_orders_go_to_shutdown_exe_as_argument_lists_and_never_force(api: FakeApi) -> None:
    windows = Windows(Clock(), api)
    assert windows.act(Verb.SHUT_DOWN)
    assert windows.act(Verb.RESTART)
    assert windows.act(Verb.SLEEP)
    assert api.argv == [["/s", "/t", "0"], ["/r", "/t", "0"]]
    assert api.suspended == 1
    api.agrees = False
    assert not windows.act(Verb.SHUT_DOWN)
    assert not windows.act(Verb.WAKE)


def test_a_warning_goes_to_the_sessions_with_somebody_in_them(api: FakeApi) -> None:
    windows = Windows(Clock(), api)
    windows.warn("It will sleep.", 60)
    assert api.told == [(1, "It will sleep.", 60)]


def test_a_call_that_windows_refuses_is_cannot_tell(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> list[Session]:
        raise OSError(5, "Windows refused a call")

    api.sessions = refused  # type: ignore[method-assign]
    found = Windows(Clock(), api).look(full=False)
    assert found.input_age_s is None
    assert found.session is None
    assert "refused" in capsys.readouterr().err
    Windows(Clock(), api).warn("nobody hears", 1)


def test_the_real_interface_says_that_this_is_not_windows() -> None:
    with pytest.raises(OSError, match="not Windows"):
        Windows(Clock())
