"""The scripts that Envoy's Lua filters run: the .lua files in `lua`. Pure once read.

They repeat some names of `gateway.wire`; a test holds their text to it.
"""

from functools import cache
from importlib.resources import files


@cache
def script(name: str) -> str:
    """The text of a script; it is read once."""
    return files("controlplane.xds.resources").joinpath("lua", f"{name}.lua").read_text("utf-8")
