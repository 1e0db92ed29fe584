"""Default ports: those that flags, rendered configuration, demo and images must agree on. Constants only.

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
