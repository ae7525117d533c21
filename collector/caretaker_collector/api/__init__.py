"""The HTTP API of incidents, its description, its tokens; and the pages behind a room's link."""
