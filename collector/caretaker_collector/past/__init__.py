"""A past to try things on: the simulated schools play some weeks, and everything that follows is found in them."""
