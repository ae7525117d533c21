"""caretaker-agent run | once | still-here | check-config: results on standard output, talk on standard error.

Exit codes: 0 all well, 1 a finding (a settings file with mistakes), 2 wrong usage, 3 cannot tell (something did not
answer, or could not be read).
"""

import os
import sys
from pathlib import Path

from caretaker_agent import VERSION
from caretaker_contract.errors import ConfigError, Unavailable

CONFIG_VARIABLE = "CARETAKER_AGENT_CONFIG"
PLACES = (Path("agent.toml"), Path("/etc/caretaker/agent.toml"))
OK, FINDING, USAGE, CANNOT_TELL = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    import argparse

    epilogue = "exit codes: 0 all well, 1 a finding, 2 wrong usage, 3 cannot tell"
    parser = argparse.ArgumentParser(
        prog="caretaker-agent", description="Caretaker's agent on one machine.", epilog=epilogue
    )
    parser.add_argument("--version", action="version", version=f"caretaker-agent {VERSION}")
    common = argparse.ArgumentParser(add_help=False)
    where = f"settings file (else {CONFIG_VARIABLE}, {', '.join(map(str, PLACES))})"
    common.add_argument("--config", type=Path, metavar="FILE", help=where)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="run | once | still-here | check-config")
    verbs.add_parser("run", parents=[common], help="watch, report and obey until stopped", epilog=epilogue)
    once = verbs.add_parser("once", parents=[common], help="print one report; needs no broker", epilog=epilogue)
    once.add_argument("--json", action="store_true", help="as JSON, the contract's report")
    still = "ask that this machine's room be kept on for an hour; switches nothing"
    verbs.add_parser("still-here", parents=[common], help=still, epilog=epilogue)
    verbs.add_parser("check-config", parents=[common], help="check the settings file", epilog=epilogue)
    chosen = parser.parse_args(arguments)
    try:
        path = _config(chosen.config)
        if chosen.verb == "check-config":
            return _check(path)
        if chosen.verb == "once":
            return _once(path, chosen.json)
        if chosen.verb == "still-here":
            return _still_here(path)
        return _run(path)
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)  # noqa: T201
        return FINDING
    except Unavailable as error:
        print(f"caretaker-agent: {error}", file=sys.stderr)  # noqa: T201
        return CANNOT_TELL


def _config(given: Path | None) -> Path:
    if given is not None:
        return given
    named = os.environ.get(CONFIG_VARIABLE, "")
    if named:
        return Path(named)
    for place in PLACES:
        if place.exists():
            return place
    places = ", ".join(map(str, PLACES))
    raise ConfigError([f"no settings: give --config FILE, set {CONFIG_VARIABLE}, or write one of {places}"])


def _check(path: Path) -> int:
    from caretaker_agent import settings

    try:
        found = settings.load(path)
    except ConfigError as error:
        print(*error.faults, sep="\n")  # noqa: T201 (here the mistakes are the result)
        return FINDING
    print(f"{path}: all well; this machine is {settings.address(found)}")  # noqa: T201
    return OK


def _run(path: Path) -> int:
    from caretaker_agent import settings, steady

    found = settings.beside(path.absolute(), settings.load(path))
    steady.replace_process(found)
    return steady.stay(found)


def _still_here(path: Path) -> int:
    import time

    from caretaker_agent import settings, still_here

    found = settings.beside(path.absolute(), settings.load(path))
    answer = still_here.ask(Path(found.state_dir), found.poll_s)
    if answer is None:  # the agent could not answer; it asked for so long just now
        print(f"asked: this room stays on for about {_seconds(found.stay_s)}")  # noqa: T201
        return OK
    until = time.strftime("%H:%M", time.localtime(answer.until_ms / 1000))
    if answer.line_up:
        print(f"asked: this room stays on until about {until}")  # noqa: T201
    else:
        print(f"kept: this machine has no line to Caretaker; once it has, this room stays on until about {until}")  # noqa: T201
    return OK


def _once(path: Path, as_json: bool) -> int:
    import time

    from caretaker_agent import memory, settings
    from caretaker_agent.account import gauges
    from caretaker_agent.meters import Bank, state_of
    from caretaker_agent.platforms import here
    from caretaker_contract.clock import from_environment
    from caretaker_contract.messages import Cause, Report, encode

    found = settings.beside(path, settings.load(path))
    clock = from_environment()
    platform = here(clock)
    platform.look(full=True)
    time.sleep(0.2)  # the share of processor time is over a span
    look = platform.look(full=True)
    remembered = memory.load(Path(found.state_dir) / "memory.json") or memory.Memory(epoch="00000000")
    state = state_of(look.input_age_s, found.idle_after_s)
    now_ms = clock.now_ms()
    bank = Bank(remembered.in_use_ms, remembered.idle_ms, remembered.asleep_ms, remembered.energy_w_ms)
    report = Report(
        epoch=remembered.epoch,
        boot=remembered.boot,
        seq=remembered.seq + 1,
        prev=remembered.prev,
        at_ms=now_ms,
        sent_ms=now_ms,
        state=state,
        was=state,
        cause=Cause.HEARTBEAT,
        meters=bank.read(),
        gauges=gauges(look, platform.uptime_s()),
    )
    if as_json:
        print(encode(report).decode())  # noqa: T201
        return OK
    reading = report.gauges
    for name, value in (
        ("machine", settings.address(found)),
        ("state", state.value.replace("_", " ")),
        ("up", _seconds(reading.uptime_s)),
        ("last input", "cannot tell" if reading.idle_s is None else f"{_seconds(reading.idle_s)} ago"),
        ("somebody signed in", _yes(reading.session)),
        ("asked to stay on", _yes(reading.inhibited)),
        ("processor", _percent(reading.cpu_ratio)),
        ("memory", _percent(reading.memory_ratio)),
        ("fullest disk", _percent(reading.disk_ratio)),
        ("power", "cannot tell" if reading.watts is None else f"{reading.watts:.1f} W"),
        ("in use so far", _seconds(report.meters.in_use_s)),
        ("idle so far", _seconds(report.meters.idle_s)),
        ("asleep so far", _seconds(report.meters.asleep_s)),
    ):
        print(f"{name:<20}{value}")  # noqa: T201
    return OK


def _seconds(count: int | None) -> str:
    if count is None:
        return "cannot tell"
    hours, rest = divmod(count, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def _yes(fact: bool | None) -> str:
    return "cannot tell" if fact is None else "yes" if fact else "no"


def _percent(ratio: float | None) -> str:
    return "cannot tell" if ratio is None else f"{ratio * 100:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
