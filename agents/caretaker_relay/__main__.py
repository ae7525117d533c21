"""`python -m caretaker_relay`: the same as the command caretaker-relay."""

import sys

from caretaker_relay.cli import main

if __name__ == "__main__":
    sys.exit(main())
