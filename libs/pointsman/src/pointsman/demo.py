"""The demo's manifests, on ports that may be others than the documented ones. Pure."""

from collections.abc import Mapping
from typing import Any

import yaml

from processes.plan import Ports


def with_ports(text: str, ports: Ports) -> str:
    """The demo's overlay for processes with these ports in place of the documented ones."""
    default = Ports()
    moved = dict(zip(default.simulators, ports.simulators, strict=True))
    moved |= {default.epp_grpc: ports.epp_grpc, default.epp_http: ports.epp_http}
    documents = [_moved(document, moved) for document in yaml.safe_load_all(text) if document]
    return yaml.safe_dump_all(documents, sort_keys=False)


def _moved(value: Any, ports: Mapping[int, int]) -> Any:
    match value:
        case dict():
            return {key: _moved(item, ports) for key, item in value.items()}
        case list():
            return [_moved(item, ports) for item in value]
        case int() if not isinstance(value, bool):
            return ports.get(value, value)
        case _:
            return value
