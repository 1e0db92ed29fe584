"""Pictures for the lab: a PNG's header with random bytes behind it, and the tokens that an engine makes of it. Pure."""

from array import array
from base64 import b64encode
from random import Random
from struct import pack
from typing import NamedTuple

_PIXELS_PER_TOKEN = 28  # side of a token, as in the family that the lab's model counts among
_BYTES = 600


class Picture(NamedTuple):
    """A data URL, and tokens that no text has."""

    url: str
    tokens: "array[int]"


def picture(side: int, random: Random) -> Picture:
    """A square one."""
    data = b"\x89PNG\r\n\x1a\n" + pack(">I4sII", 13, b"IHDR", side, side) + random.randbytes(_BYTES)
    count = (-(-side // _PIXELS_PER_TOKEN)) ** 2
    tokens = array("I", [0x1_0000_0000 - 1 - each for each in array("H", random.randbytes(2 * count))])
    return Picture(f"data:image/png;base64,{b64encode(data).decode()}", tokens)
