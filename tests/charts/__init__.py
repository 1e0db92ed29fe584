"""Charts as they render, and as an API server takes them: `make charts`."""
