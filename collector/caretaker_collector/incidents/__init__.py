"""The log of incidents, what people do to them, and what rounds leave to each other."""
