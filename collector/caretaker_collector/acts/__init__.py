"""What people do, once for the desk, the HTTP API and the command line: `registry` names it, `doing` does it."""
