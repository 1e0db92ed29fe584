"""A name that two programs must agree on is written down once, in `gateway.wire`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

from gateway.wire import ports, protocol
from processes.plan import Ports

# Words that mean other things elsewhere, too: members of answers, and plain words.
COMMON = {
    "", protocol.HEALTH_LIVENESS, protocol.HEALTH_READINESS, protocol.MODEL_HEADERS_CHECK, protocol.PROMPT_TOKENS,
    protocol.COMPLETION_TOKENS, protocol.TOTAL_TOKENS, protocol.CACHED_TOKENS, protocol.REASONING_TOKENS,
    protocol.STORED_ID, protocol.ATTEMPT_PICK_TAG, protocol.ATTEMPT_TAG, protocol.CONTENT_ENCODING,
    protocol.GATEWAY_HEALTH_PATH,  # model servers have one of that name
    protocol.NO_OVERFLOW, protocol.ROUND_ROBIN,
}  # fmt: skip
NAMES = {value for name, value in vars(protocol).items() if name.isupper() and isinstance(value, str)} - COMMON


def _literals(source: Path) -> Iterator[str]:
    """Every string of a module that is one of the names; docstrings are prose."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES:
            yield f"{source.name}:{node.lineno}: {node.value}"


def test_no_service_repeats_a_name(root: Path) -> None:
    sources = [*root.glob("services/*/src/**/*.py"), *root.glob("libs/*/src/**/*.py")]
    own = root / "libs/gateway/src/gateway/wire/protocol.py"
    assert own in sources
    assert [found for source in sources if source != own for found in _literals(source)] == []


def test_the_demo_and_the_images_use_the_default_ports(root: Path) -> None:
    demo = Ports()
    assert (demo.epp_grpc, demo.epp_health, demo.epp_http) == (ports.EPP_GRPC, ports.EPP_HEALTH, ports.EPP_HTTP)
    assert (demo.bbr_grpc, demo.bbr_health) == (ports.BBR_GRPC, ports.BBR_HEALTH)
    assert (demo.epp_metrics, demo.envoy_admin) == (ports.METRICS, ports.ENVOY_ADMIN)
    bootstrap = yaml.safe_load((root / "envoy/bootstrap.yaml").read_text())
    assert bootstrap["admin"]["address"]["socket_address"]["port_value"] == ports.ENVOY_ADMIN
