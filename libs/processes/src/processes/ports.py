"""The ports of a stack on one host. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

WORKER_STRIDE = 100  # from a port of one worker to that of the next, as the services have it


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of the stack. The services keep the reference's ports; where two meet on one host, one moves."""

    gateway: int = 8080
    envoy_admin: int = 9901
    epp_grpc: int = 9002
    epp_health: int = 9003
    epp_metrics: int = 9090
    epp_http: int = 9006
    bbr_grpc: int = 9004
    bbr_health: int = 9005
    bbr_metrics: int = 9091  # the reference's 9090 is the EPP's on this host
    controlplane_http: int = 9092
    simulators: tuple[int, ...] = (8101, 8102, 8103, 8111, 8112)

    def moved(self, offset: int) -> "Ports":
        """All of them by so many."""
        own = {each.name: getattr(self, each.name) + offset for each in fields(self) if each.name != "simulators"}
        return replace(self, simulators=tuple(port + offset for port in self.simulators), **own)

    def of_workers(self, workers: int) -> Mapping[str, int]:
        """The ports of workers beyond the first, with their names for people."""
        served = {"EPP ext_proc": self.epp_grpc, "EPP HTTP door": self.epp_http, "BBR ext_proc": self.bbr_grpc}
        return {
            f"{name}, worker {index}": port + WORKER_STRIDE * index
            for index in range(1, workers)
            for name, port in served.items()
        }

    def named(self) -> Mapping[str, int]:
        """Each port with its name for people."""
        names = {
            "gateway": self.gateway,
            "Envoy admin": self.envoy_admin,
            "EPP ext_proc": self.epp_grpc,
            "EPP health": self.epp_health,
            "EPP metrics": self.epp_metrics,
            "EPP HTTP door": self.epp_http,
            "BBR ext_proc": self.bbr_grpc,
            "BBR health": self.bbr_health,
            "BBR metrics": self.bbr_metrics,
            "control plane": self.controlplane_http,
        }
        return names | {f"simulator {index + 1}": port for index, port in enumerate(self.simulators)}
