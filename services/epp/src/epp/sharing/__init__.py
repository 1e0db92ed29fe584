"""What replicas tell each other: `codec` (pure) writes events down, `outbox` (pure) bounds them, `stream` is Redis."""
