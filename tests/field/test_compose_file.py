"""The compose file keeps apart what must not talk to each other, and bounds what each service may take."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from processes.drain import DRAIN_SECONDS

Services = dict[str, dict[str, Any]]


@pytest.fixture
def compose(root: Path) -> dict[str, Any]:
    """The file as YAML has it, with its anchors resolved."""
    found = yaml.safe_load((root / "compose.yaml").read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def services(compose: dict[str, Any]) -> Services:
    """Its services; those of profiles are beside the stack."""
    return {name: service for name, service in compose["services"].items() if not service.get("profiles")}


@pytest.fixture
def observers(compose: dict[str, Any]) -> Services:
    """The services of the profile `observe`."""
    return {name: service for name, service in compose["services"].items() if service.get("profiles") == ["observe"]}


def words(service: dict[str, Any]) -> str:
    """A command as one text."""
    command = service.get("command", "")
    return command if isinstance(command, str) else " ".join(command)


def test_only_envoy_is_in_the_network_that_clients_reach(compose: dict[str, Any], services: Services) -> None:
    exposed = {name for name, service in services.items() if service.get("ports")}
    outside = {name for name, network in compose["networks"].items() if not network.get("internal")}

    assert exposed == {"envoy"}
    assert outside == {"edge"}
    assert {name for name, service in services.items() if "edge" in service["networks"]} == {"envoy"}
    assert all(port.startswith("127.0.0.1:") for port in services["envoy"]["ports"])


def test_observers_see_what_envoy_sees_and_people_reach_grafana_on_this_host_alone(observers: Services) -> None:
    assert observers.keys() == {"prometheus", "grafana"}
    assert observers["prometheus"]["network_mode"] == "service:envoy"
    assert "ports" not in observers["prometheus"]
    assert observers["grafana"]["networks"] == ["edge"]
    assert all(port.startswith("127.0.0.1:") for port in observers["grafana"]["ports"])
    assert all(service["read_only"] and service["mem_limit"] for service in observers.values())


def test_model_servers_share_no_network_with_the_router_or_redis(services: Services) -> None:
    models = {name: service for name, service in services.items() if name.startswith("model-sim")}

    assert {tuple(service["networks"]) for service in models.values()} == {("models",)}
    for name in ("bbr", "redis"):
        assert "models" not in services[name]["networks"]


def test_redis_is_for_the_pickers_alone_and_wants_a_password(
    root: Path, compose: dict[str, Any], services: Services
) -> None:
    assert {name for name, service in services.items() if "state" in service["networks"]} == {"epp", "redis"}
    assert services["redis"]["networks"] == ["state"]
    assert '--requirepass "$$(cat /run/secrets/redis-password)"' in words(services["redis"])
    assert "--redis-password-file /run/secrets/redis-password" in words(services["epp"])
    assert {name for name, service in services.items() if service.get("secrets")} == {"epp", "redis"}
    (default,) = re.findall(r":-(.*)}", compose["secrets"]["redis-password"]["file"])
    assert (root / default).read_text().strip()


def test_the_http_door_is_closed_where_pickers_are_asked_by_ext_proc(root: Path, services: Services) -> None:
    assert "--picker " not in words(services["controlplane"]), "ext_proc is the default"
    assert "--http-port" not in words(services["epp"])
    assert "closed by default" in " ".join((root / "docs" / "doors.md").read_text().split())


def test_every_service_has_a_memory_limit_and_time_to_finish(services: Services) -> None:
    for name, service in services.items():
        assert service["mem_limit"], name
        assert float(service["stop_grace_period"].rstrip("s")) > DRAIN_SECONDS, name


def test_envoy_starts_after_what_it_asks_and_drains_before_it(root: Path, services: Services) -> None:
    needed = services["envoy"]["depends_on"]
    entrypoint, admin, grace = services["envoy"]["entrypoint"]

    assert set(needed) == {"controlplane", "bbr", "epp", "model-sim-a", "model-sim-b"}
    assert needed["epp"]["condition"] == "service_healthy"
    assert (entrypoint, admin, float(grace)) == ("/etc/envoy/run", "9901", DRAIN_SECONDS)
    assert os.access(root / "envoy" / "run", os.X_OK)


def test_envoys_heap_fits_its_memory_limit(root: Path, services: Services) -> None:
    monitors = yaml.safe_load((root / "envoy" / "bootstrap.yaml").read_text())["overload_manager"]["resource_monitors"]
    (heap,) = (item["typed_config"]["max_heap_size_bytes"] for item in monitors if item["name"].endswith("fixed_heap"))

    assert services["envoy"]["mem_limit"] == "1g"
    assert heap * 1.2 < 1024**3
