"""The scripts that Envoy's Lua filters run: the .lua files beside this one."""

from functools import cache
from importlib.resources import files


@cache
def script(name: str) -> str:
    """The text of a script of this package; it is read once."""
    return files("controlplane").joinpath(f"{name}.lua").read_text("utf-8")
