"""The stack through both doors, and gateways with fakes around them, for what public reports tell of the field."""

from tests.contract.envoy.conftest import (
    bed,
    delivery,
    grpc_transport,
    make_bed,
    pytest_collection_modifyitems,
    transport,
)
from tests.e2e.conftest import ext_proc_stack, http_stack, processes

__all__ = [
    "bed",
    "delivery",
    "ext_proc_stack",
    "grpc_transport",
    "http_stack",
    "make_bed",
    "processes",
    "pytest_collection_modifyitems",
    "transport",
]
