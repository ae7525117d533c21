"""What crosses the wire between a machine and the collector: topics, messages, signed commands, metrics, time."""
