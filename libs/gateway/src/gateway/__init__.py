"""What the Pointsman services share. A module belongs here when two services use it and it names no service."""
