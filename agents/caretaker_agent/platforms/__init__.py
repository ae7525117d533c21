"""One module per operating system, and which one this machine needs."""

import sys
from typing import TYPE_CHECKING

from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable

if TYPE_CHECKING:
    from caretaker_agent.probe import Platform


def here(clock: Clock) -> "Platform":
    """The platform of this machine; Unavailable where there is none for it."""
    if sys.platform == "linux":
        from caretaker_agent.platforms.linux import Linux

        return Linux(clock)
    if sys.platform == "win32":
        from caretaker_agent.platforms.windows import Windows

        return Windows(clock)
    raise Unavailable(f"there is no agent for {sys.platform} yet; it runs on Linux and Windows")
