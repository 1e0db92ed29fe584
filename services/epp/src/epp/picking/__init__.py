"""One request from its arrival to its settlement. Pure."""
