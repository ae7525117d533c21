"""The relay: one always-on machine of each site that wakes the others of its network on signed commands."""
