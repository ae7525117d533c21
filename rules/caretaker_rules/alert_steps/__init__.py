"""The steps of the alert pipeline, each in a file of its own; `alerting.py` tells their order and what they share."""
