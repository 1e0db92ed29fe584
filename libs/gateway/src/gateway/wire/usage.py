"""What the token counts of an answer say together, whichever API they come from. Pure."""


def whole_prompt(counted: int | None, read: int | None, created: int | None) -> int | None:
    """Tokens of a prompt. The messages API counts those read from the cache (`read`, which other APIs leave away) and
    those put there (`created`) beside the others."""
    return counted if counted is None or read is None else counted + read + (created or 0)
