"""Months against their service level: reckoned, stated, revised, rolled up and shown."""
