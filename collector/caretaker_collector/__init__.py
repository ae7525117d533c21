"""The collector: journals every message, decides with reasons, acts once, and writes points to the store."""
