"""One file a stage, in the order of pipeline.py."""
