"""Plugins that write into answers. Pure: transports do the writing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DestinationEndpointServedVerifier:
    """For conformance tests: answers over ext_proc name the endpoint that served them in a header."""
