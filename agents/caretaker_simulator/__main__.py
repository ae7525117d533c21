"""python -m caretaker_simulator run ... | --calibration: the simulator as a process of its own."""

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path

import aiomqtt
import msgspec

from caretaker_contract.clock import from_environment
from caretaker_contract.errors import CaretakerError, ConfigError
from caretaker_contract.signing import read_public
from caretaker_simulator.calibration import calibration, table
from caretaker_simulator.estate import demo_estate, read_estate, synthetic_fleet
from caretaker_simulator.line import Faults
from caretaker_simulator.run import Options, simulate
from caretaker_simulator.story import Fault
from caretaker_simulator.troubles import NO_TROUBLES, Troubles


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m caretaker_simulator", description=__doc__)
    parser.add_argument("--calibration", action="store_true", help="compare the habits with published figures")
    parser.add_argument("--days", type=int, default=28, help="days to live for --calibration (default 28)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another story (default 1)")
    parser.add_argument("--json", action="store_true", help="results as one line of JSON")
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run", help="simulate a fleet on a broker, on the timeline of CARETAKER_CLOCK")
    run.add_argument("--host", default="127.0.0.1")
    run.add_argument("--port", type=int, default=1883)
    run.add_argument("--seed", type=int, default=argparse.SUPPRESS)
    run.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="the totals as one line of JSON")
    which = run.add_mutually_exclusive_group()
    which.add_argument("--estate", type=Path, metavar="FOLDER", help="folder of an estate.toml (default: the demo's)")
    which.add_argument("--devices", type=int, metavar="N", help="a made-up estate of N devices, for load")
    run.add_argument("--schools", nargs="+", metavar="NAME", help="only these schools of the estate")
    run.add_argument("--public-key-file", type=Path, help="keys that may command: 64 hex digits a line")
    run.add_argument("--for", type=float, dest="for_s", metavar="SECONDS", help="real seconds (default: until ended)")
    run.add_argument("--heartbeat", type=int, default=300, metavar="SECONDS", help="on the timeline (default 300)")
    run.add_argument("--connections", type=int, default=4, metavar="N", help="shared by all devices (default 4)")
    run.add_argument("--connection-per-device", action="store_true", help="instead of shared ones; for hundreds")
    run.add_argument("--loss", type=float, default=0.0, metavar="RATIO", help="numbered messages that vanish (0-1)")
    run.add_argument("--duplicates", type=float, default=0.0, metavar="RATIO", help="that arrive twice (0-1)")
    run.add_argument("--shuffle", type=float, default=0.0, metavar="SECONDS", help="delayed by up to (timeline)")
    run.add_argument("--no-troubles", action="store_true", help="no crashes, cuts or wrong clocks")
    run.add_argument("--faults", type=Path, metavar="FILE", help="faults to place (JSON, as in the truth file)")
    run.add_argument("--keep", type=int, metavar="N", help="numbered messages that a device keeps for replay")
    run.add_argument("--roll-call", action="store_true", help="start every machine at the end, so that all gaps show")
    run.add_argument("--linger", type=float, default=0.0, metavar="SECONDS", help="answer on until quiet for as long")
    run.add_argument("--truth-out", type=Path, metavar="FILE", help="where to write what really happened (JSON)")
    run.add_argument("--status-file", type=Path, metavar="FILE", help="rewritten every second with counts (JSON)")
    return parser


def _public_keys(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror} (--public-key-file)"]) from None
    keys = [line for line in lines if line and not line.startswith("#")]
    for key in keys:
        read_public(key)
    return keys


def _placed(path: Path | None) -> list[Fault]:
    """The faults of a file; ConfigError names the file and what is wrong in it."""
    if path is None:
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Fault])
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError([f"{path}: {error} (--faults)"]) from None


def _run(arguments: argparse.Namespace) -> int:
    if arguments.devices is not None:
        estate = synthetic_fleet(arguments.devices)
    else:
        estate = read_estate(arguments.estate) if arguments.estate is not None else demo_estate()
    unknown = sorted(set(arguments.schools or ()) - set(estate.schools))
    if unknown:
        raise ConfigError([f"--schools: {', '.join(unknown)} not in the estate (it has {', '.join(estate.schools)})"])
    options = Options(
        host=arguments.host,
        port=arguments.port,
        seed=arguments.seed,
        schools=arguments.schools,
        public_keys=_public_keys(arguments.public_key_file),
        for_s=arguments.for_s,
        heartbeat_s=arguments.heartbeat,
        connections=None if arguments.connection_per_device else max(1, arguments.connections),
        faults=Faults(arguments.loss, arguments.duplicates, arguments.shuffle),
        troubles=NO_TROUBLES if arguments.no_troubles else Troubles(),
        placed=_placed(arguments.faults),
        keep=arguments.keep,
        roll_call=arguments.roll_call,
        linger_s=arguments.linger,
        truth_out=arguments.truth_out,
        status_file=arguments.status_file,
    )
    truth = asyncio.run(simulate(estate, from_environment(), options))
    result = {"totals": truth["totals"], "line": truth["line"], "wire": truth["wire"]}
    sys.stdout.write((json.dumps(result) if arguments.json else json.dumps(result, indent=2)) + "\n")
    wire = truth["wire"]
    return 1 if isinstance(wire, dict) and wire["unacknowledged"] else 0


def main(argv: list[str] | None = None) -> int:
    """Exit code 0: done; 1: a figure does not fit, or not everything could be delivered; 2: wrong usage or settings."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        if arguments.calibration:
            rows = calibration(arguments.days, arguments.seed)
            figures = [{"figure": r.figure, "published": r.published, "simulated": r.simulated} for r in rows]
            sys.stdout.write((json.dumps(figures) if arguments.json else table(rows)) + "\n")
            return 0 if all(row.fits for row in rows if row.compared) else 1
        if arguments.command == "run":
            return _run(arguments)
    except CaretakerError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (TimeoutError, aiomqtt.MqttError) as error:
        where = f"{arguments.host}:{arguments.port}"
        sys.stderr.write(f"no broker at {where} (--host, --port): {error or 'no answer'}\n")
        return 1
    parser.print_usage(sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
