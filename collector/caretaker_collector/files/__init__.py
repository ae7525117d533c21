"""Every file that a person writes: read, checked all at once, with line and remedy."""
