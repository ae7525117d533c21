"""The desk of a running collector: where the figures of its pages come from."""
