"""caretaker-relay run | check-config: results on standard output, talk on standard error.

Exit codes: 0 all well, 1 a finding (a settings file with mistakes), 2 wrong usage, 3 cannot tell (something did not
answer, or could not be read).
"""

import argparse
import os
import sys
from pathlib import Path

from caretaker_agent import VERSION
from caretaker_agent.lock import only_one
from caretaker_agent.platforms import here
from caretaker_agent.settings import address, beside
from caretaker_contract.clock import from_environment
from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_relay import settings
from caretaker_relay.run import Relay

CONFIG_VARIABLE = "CARETAKER_RELAY_CONFIG"
PLACES = (Path("relay.toml"), Path("/etc/caretaker/relay.toml"))
OK, FINDING, USAGE, CANNOT_TELL = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    epilogue = "exit codes: 0 all well, 1 a finding, 2 wrong usage, 3 cannot tell"
    parser = argparse.ArgumentParser(
        prog="caretaker-relay", description="Wakes the machines of one site on signed commands.", epilog=epilogue
    )
    parser.add_argument("--version", action="version", version=f"caretaker-relay {VERSION}")
    common = argparse.ArgumentParser(add_help=False)
    where = f"settings file (else {CONFIG_VARIABLE}, {', '.join(map(str, PLACES))})"
    common.add_argument("--config", type=Path, metavar="FILE", help=where)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="run | check-config")
    verbs.add_parser("run", parents=[common], help="wake and report until stopped", epilog=epilogue)
    verbs.add_parser("check-config", parents=[common], help="check the settings file", epilog=epilogue)
    chosen = parser.parse_args(arguments)
    checking = chosen.verb == "check-config"
    try:
        path = _config(chosen.config)
        found = settings.load(path)
        if checking:
            wake = found.wake
            through = f" through {wake.interface}" if wake.interface else ""
            print(f"{path}: all well; {address(found)} wakes by {wake.broadcast}:{wake.port}{through}")  # noqa: T201
            return OK
        found = beside(path.absolute(), found)
        clock = from_environment()
        with only_one(Path(found.state_dir)):
            Relay(found, here(clock), clock).run()
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stdout if checking else sys.stderr)
        return FINDING
    except Unavailable as error:
        print(f"caretaker-relay: {error}", file=sys.stderr)  # noqa: T201
        return CANNOT_TELL
    return OK


def _config(given: Path | None) -> Path:
    named = os.environ.get(CONFIG_VARIABLE, "")
    if given is not None or named:
        return given or Path(named)
    for place in PLACES:
        if place.exists():
            return place
    places = ", ".join(map(str, PLACES))
    raise ConfigError([f"no settings: give --config FILE, set {CONFIG_VARIABLE}, or write one of {places}"])


if __name__ == "__main__":
    sys.exit(main())
