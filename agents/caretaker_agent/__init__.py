"""The agent on a machine: looks, counts, keeps what it saw until the collector has it, and obeys signed commands."""

VERSION = "0.1.0"
"""The same as the distribution's; a test compares them (asking for the metadata would cost memory at every start)."""
