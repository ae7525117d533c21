"""Grafana boards of Caretaker: described in typed Python, built with grafanalib, committed as JSON."""
