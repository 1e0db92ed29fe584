"""What several pickers cost and gain: `make bench-sharing`."""
