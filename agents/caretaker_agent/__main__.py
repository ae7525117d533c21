"""python -m caretaker_agent: the same as the command caretaker-agent."""

import sys

from caretaker_agent.cli import main

sys.exit(main())
