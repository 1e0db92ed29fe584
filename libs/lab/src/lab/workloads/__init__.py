"""What clients send: conversations, made up and seeded."""
