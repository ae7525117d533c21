"""python -m caretaker_collector is `caretaker`."""

from caretaker_collector.cli import main

main()
