"""Default ports: those that flags, rendered configuration, demo and images must agree on, and
those of workers.

The endpoint picker's are the reference's; the body-based router takes the next ones, so that both fit on one host.
"""

from typing import Final

EPP_GRPC: Final = 9002  # ext_proc, access log, health
EPP_HEALTH: Final = 9003
EPP_HTTP: Final = 9006  # the HTTP transport; closed unless a flag opens it
BBR_GRPC: Final = 9004
BBR_HEALTH: Final = 9005
XDS_GRPC: Final = 18000  # of the control plane, with --xds grpc
METRICS: Final = 9090  # /metrics, /healthz, /readyz of every service
ENVOY_ADMIN: Final = 9901
WORKER_STRIDE: Final = 100  # from a port of one worker to that of the next: leaves all of the above apart
MOST_WORKERS: Final = 64


def worker_port(port: int, index: int) -> int:
    """The port of the worker `index`, from 0, of a service whose first worker has `port`; 0 is left to the system."""
    return port and port + WORKER_STRIDE * index
