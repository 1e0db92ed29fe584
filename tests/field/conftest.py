"""The stack through both doors, for what public reports tell of servers, clients and proxies in the field."""

from tests.e2e.conftest import ext_proc_stack, http_stack, processes

__all__ = ["ext_proc_stack", "http_stack", "processes"]
