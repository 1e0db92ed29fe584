"""What the picker remembers per pool: endpoints and their load now, reservations, prefixes, speed, sessions. Pure."""
