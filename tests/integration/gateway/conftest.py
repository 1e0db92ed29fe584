"""Both transports of gRPC: what holds for one must hold for the other."""

import pytest

from gateway.rpc.server import Serving, Transport


@pytest.fixture(params=list(Transport), ids=lambda transport: transport.value)
def transport(request: pytest.FixtureRequest) -> Transport:
    assert isinstance(request.param, Transport)
    return request.param


@pytest.fixture
def how(transport: Transport) -> Serving:
    """In the clear, with the settings in force."""
    return Serving(transport=transport)
