"""What a service's process is made of: lifecycle, health, operators' port, logs, clock. Shells."""
