"""What one simulated server is, without HTTP and clock: its settings, its models, its faults, its answers. Pure."""
