"""Paths of fields as messages show them: `spec.rules[0].name`. Pure."""


def join(path: str, key: str | int) -> str:
    """The path of a field inside another."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not key or key.startswith("["):
        return path + key
    return f"{path}.{key}" if path else key


def parent(path: str) -> str:
    """The path of what holds a field; empty at the top."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]
