"""Request bodies as prompts. Pure."""
