"""The desk: pages on which an engineer acts and a school sees itself."""
