"""The plan of the demo: pure, so that what `make up` starts can be looked at without starting it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from gateway.wire import ports as ports_of_services
from gateway.wire.ports import worker_port
from processes.plan import SIMULATORS, Layout, Ports, Settings, processes, render_arguments
from processes.ports import WORKER_STRIDE

LAYOUT = Layout(root=Path("/checkout"), run=Path("/run"), envoy=Path("/tools/envoy"), binaries=Path("/venv/bin"))
SETTINGS = Settings(ports=Ports(), layout=LAYOUT, config_dirs=(Path("/a"), Path("/b")), epp_config=Path("/a/epp.yaml"))


def test_the_stack_has_one_of_each_service_and_five_simulators() -> None:
    names = [process.name for process in processes(SETTINGS)]

    qwen, phi = (f"vllm-qwen3-32b-{index}" for index in range(3)), (f"phi-4-mini-{index}" for index in range(2))
    assert names == [*qwen, *phi, "epp", "bbr", "controlplane", "envoy"]


def test_no_two_ports_of_the_default_stack_are_the_same() -> None:
    ports = list(Ports().named().values())

    assert len(ports) == len(set(ports)) == 15


def test_the_ports_of_workers_meet_no_other_and_are_where_the_services_listen() -> None:
    ports = Ports()
    workers = ports.of_workers(4)

    assert len({*workers.values(), *ports.named().values()}) == 9 + 15
    assert workers["EPP ext_proc, worker 3"] == worker_port(ports.epp_grpc, 3)
    assert WORKER_STRIDE == ports_of_services.WORKER_STRIDE


def test_workers_are_started_and_rendered_alike() -> None:
    several = replace(SETTINGS, workers=2)
    flags = {each.name: [*pairwise(each.arguments)] for each in processes(several)}

    assert ("--workers", "2") in flags["epp"]
    assert ("--workers", "2") in flags["bbr"]
    assert {("--picker-workers", "2"), ("--bbr-workers", "2")} <= {*flags["controlplane"]}
    assert not any("workers" in word for each in processes(SETTINGS) for word in each.arguments)


def test_the_reference_ports_are_kept_where_they_do_not_meet() -> None:
    ports = Ports()

    assert (ports.epp_grpc, ports.epp_health, ports.epp_metrics) == (9002, 9003, 9090)
    assert (ports.bbr_grpc, ports.bbr_health) == (9004, 9005)
    assert ports.bbr_metrics != ports.epp_metrics


def test_every_manifest_folder_is_given_in_order_to_whoever_reads_manifests() -> None:
    for arguments in (
        render_arguments(SETTINGS),
        *(p.arguments for p in processes(SETTINGS) if p.name in {"epp", "bbr"}),
    ):
        folders = [value for flag, value in pairwise(arguments) if flag == "--config-dir"]
        assert folders == ["/a", "/b"]


def test_only_the_pool_with_adapters_loads_adapters() -> None:
    with_adapters = {p.name for p in processes(SETTINGS) if "--lora-modules" in p.arguments}

    assert with_adapters == {f"vllm-qwen3-32b-{index}" for index in range(SIMULATORS[0].replicas)}


def test_every_server_of_the_stack_listens_on_loopback_only() -> None:
    for process in processes(SETTINGS):
        hosts = [value for flag, value in pairwise(process.arguments) if flag == "--host"]
        assert hosts in ([], ["127.0.0.1"])


def test_redis_is_named_only_when_there_is_one() -> None:
    def picker(settings: Settings) -> tuple[str, ...]:
        return next(p.arguments for p in processes(settings) if p.name == "epp")

    shared = Settings(
        SETTINGS.ports, LAYOUT, SETTINGS.config_dirs, SETTINGS.epp_config, redis_url="redis://127.0.0.1/0"
    )

    assert "--redis-url" not in picker(SETTINGS)
    assert "redis://127.0.0.1/0" in picker(shared)
