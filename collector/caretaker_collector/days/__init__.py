"""What each day came to, reckoned again whenever a late report touches it: states, owed time, energy."""
