"""What the readers of several kinds share. Pure."""

from typing import Final

from gateway.schema.fields import Fields

MAX_PORT: Final = 65535
MAX_WEIGHT: Final = 1_000_000
INT32: Final = 2**31 - 1


def spec_of(top: Fields) -> Fields:
    """The `spec` of an object that has nothing beside it but what every object has."""
    top.known("apiVersion", "kind", "metadata", "status")
    spec = top.child("spec", required=True)
    top.done()
    return spec or top
