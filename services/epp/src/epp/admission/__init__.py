"""Whether and when a request may be placed. Pure."""
