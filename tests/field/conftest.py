"""The stack through both doors, for what public reports tell of servers, clients and proxies in the field."""

import pytest

from tests.e2e.conftest import ext_proc_stack, http_stack
from tests.e2e.stack import Stack

__all__ = ["ext_proc_stack", "http_stack"]


@pytest.fixture(params=("ext_proc", "http"), scope="session")
def processes(request: pytest.FixtureRequest) -> Stack:
    """The demo as processes, through each door: what holds for one must hold for the other."""
    stack = request.getfixturevalue(f"{request.param}_stack")
    assert isinstance(stack, Stack)
    return stack
