"""The process that stays: `run` starts it in its own place (exec, same process id) once the settings are checked.

Reading arguments and TOML, and the memory that this leaves behind, is not carried along for the weeks in which the
agent only looks and waits (1.5 MB less, measured). The checked settings come as JSON through an inherited pipe.
"""

import os
import sys
from pathlib import Path

import msgspec

from caretaker_agent.lock import only_one
from caretaker_agent.platforms import here
from caretaker_agent.run import Agent
from caretaker_agent.settings import Settings
from caretaker_contract.clock import from_environment
from caretaker_contract.errors import Unavailable


def replace_process(settings: Settings) -> None:
    """Become the steady process with these settings; returns only where a process cannot be replaced."""
    if sys.platform == "win32":
        return
    reader, writer = os.pipe()
    os.write(writer, msgspec.json.encode(settings))
    os.close(writer)
    os.set_inheritable(reader, True)
    sys.stdout.flush()
    sys.stderr.flush()
    # -P: the folder of this file must not come first on the path, its modules have everyday names.
    try:
        os.execv(sys.executable, [sys.executable, "-P", __file__, str(reader)])  # noqa: S606 (no shell on purpose)
    except OSError as error:
        os.close(reader)
        print(f"caretaker-agent: stays in its first process: {error}", file=sys.stderr)  # noqa: T201


def stay(settings: Settings) -> int:
    """Run until told to stop; the exit code."""
    clock = from_environment()
    try:
        with only_one(Path(settings.state_dir)):
            Agent(settings, here(clock), clock).run()
    except Unavailable as error:
        print(f"caretaker-agent: {error}", file=sys.stderr)  # noqa: T201
        return 3
    return 0


def _from_pipe(fd: int) -> Settings:
    with os.fdopen(fd, "rb") as pipe:
        return msgspec.json.decode(pipe.read(), type=Settings)


if __name__ == "__main__":
    sys.exit(stay(_from_pipe(int(sys.argv[1]))))
