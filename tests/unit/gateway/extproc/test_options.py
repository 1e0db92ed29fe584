"""The command line of the ext_proc services, as the reference's manifests write it."""

import argparse
import sys
from pathlib import Path

import pytest

from bbr.__main__ import arguments as bbr_arguments
from epp.__main__ import arguments, options
from gateway.extproc import options as flags
from gateway.extproc.certificates import Tls
from gateway.rpc.server import Transport, default_transport


def test_the_arguments_of_published_manifests_are_understood() -> None:
    given = arguments(
        ["--pool-name", "inference-model-server-pool", "--pool-namespace", "inference-model-server", "--v", "4",
         "--zap-encoder", "json", "--config-file", "/config/default-plugins.yaml"]
    )  # fmt: skip
    chosen = options(given)
    assert chosen.default_pool == "inference-model-server/inference-model-server-pool"
    assert chosen.config_file == Path("/config/default-plugins.yaml")
    assert (chosen.listeners.grpc_port, chosen.listeners.health_port, chosen.metrics_port) == (9002, 9003, 9090)
    assert chosen.listeners.tls == Tls()


def test_run_may_be_said_and_flags_without_effect_are_accepted() -> None:
    given = arguments(["run", "--ha-enable-leader-election", "--tracing=false", "-v=1", "--secure-serving=false"])
    assert given.command == "run"
    assert given.ha_enable_leader_election == "true"
    assert given.v == 1


def test_replicas_that_are_not_named_get_names_of_their_own() -> None:
    assert options(arguments([])).replica != options(arguments([])).replica


def test_the_body_based_router_has_the_references_ports() -> None:
    given = bbr_arguments(["--streaming"])
    assert (given.grpc_port, given.grpc_health_port, given.metrics_port, given.streaming) == (9004, 9005, 9090, True)


def test_the_fast_transport_is_the_default_and_the_other_can_be_chosen() -> None:
    assert options(arguments([])).listeners.transport is Transport.NGHTTP2
    chosen = options(arguments(["--grpc-transport", "grpcio", "--grpc-socket", "/run/epp.sock"])).listeners
    assert (chosen.transport, chosen.grpc_socket) == (Transport.GRPCIO, Path("/run/epp.sock"))


def test_without_the_library_of_the_fast_transport_the_other_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.rpc.engine", raising=False)
    monkeypatch.setitem(sys.modules, "ngh2", None)
    assert default_transport() is Transport.GRPCIO


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--secure-serving=false", "--client-ca-file", "ca"], "--client-ca-file needs --secure-serving"),
        (["--drain-timeout", "soon"], "expected a duration"),
        (["--grpc-max-recv-msg-size", "much"], "expected a size"),
        (["--grpc-max-recv-msg-size", "3Gi"], "at most 2GiB"),
        (["--lora-info-metric", "a b"], "--lora-info-metric: 'a b' is not a metric selector"),
        (["--grpc-port", "9003"], "the ports must differ"),
        (["--secure-serving=maybe"], "expected true or false, got 'maybe'"),
        (["--config-file", "a", "--config-text", "b"], "not allowed with"),
        (["explain"], "needs a request id"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_an_impossible_combination_is_refused_with_its_reason(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(argv)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_folders_come_from_the_command_line_else_from_the_environment() -> None:
    environment = {"POINTSMAN_CONFIG_DIR": "/a:/b"}
    assert flags.config_dirs(argparse.Namespace(config_dir=[]), environment) == (Path("/a"), Path("/b"))
    assert flags.config_dirs(argparse.Namespace(config_dir=[Path("/c")]), environment) == (Path("/c"),)
    assert flags.config_dirs(argparse.Namespace(config_dir=[]), {}) == ()


def test_tls_is_served_unless_told_otherwise(tmp_path: Path) -> None:
    assert options(arguments([])).listeners.tls == Tls()
    assert options(arguments(["--secure-serving=false", "--cert-path", str(tmp_path)])).listeners.tls is None
    reloaded = arguments(["--cert-path", str(tmp_path), "--enable-cert-reload", "--client-ca-file", "ca"])
    assert options(reloaded).listeners.tls == Tls(tmp_path, reloads=True, client_ca=Path("ca"))


def test_the_first_releases_spelt_flags_otherwise() -> None:
    given = arguments(
        ["-poolName", "p", "-poolNamespace=n", "-v", "4", "--grpcPort", "9102", "-grpcHealthPort", "9103",
         "--configFile", "f", "--destinationEndpointHintKey", "k", "-refreshMetricsInterval=50ms", "--healthChecking",
         "-loraInfoMetric", "", "--secureServing=false", "-certPath", "c"]
    )  # fmt: skip
    chosen = options(given)
    assert (chosen.default_pool, chosen.config_file, chosen.listeners.tls) == ("n/p", Path("f"), None)
    assert (chosen.listeners.grpc_port, chosen.listeners.health_port) == (9102, 9103)
    assert chosen.scrape_flags.metrics == {"lora": ""}


def test_durations_and_sizes_are_gos() -> None:
    given = arguments(
        ["--drain-timeout", "1m30s", "--grpc-max-recv-msg-size", "10MiB", "--grpc-max-send-msg-size=25MB"]
    )
    chosen = options(given).listeners
    assert (chosen.drain_seconds, chosen.settings.receive_limit, chosen.settings.send_limit) == (
        90,
        10 << 20,
        25_000_000,
    )
    assert options(arguments(["--drain-timeout", "7"])).listeners.drain_seconds == 7


# Of every release of both upstreams, with a value that the flag takes.
EPP_FLAGS = """\
--allow-experimental-plugins --cache-info-metric=a --cert-path=c --config-file=f --disable-endpoint-subset-filter
--drain-timeout=30s --emit-endpoint-scores --enable-cert-reload --enable-grpc-stream-metrics --enable-pprof=false
--endpoint-selector=app=vllm --endpoint-target-ports=8000,8001 --grpc-health-port=9003 --grpc-max-recv-msg-size=10MiB
--grpc-max-send-msg-size=10MiB --grpc-port=9002 --ha-enable-leader-election --health-checking=true
--kv-cache-usage-percentage-metric=b --lora-info-metric=c --metrics-cert-dir=d --metrics-client-ca-file=e
--metrics-endpoint-auth=false --metrics-port=9090 --metrics-staleness-threshold=2s
--model-server-metrics-https-insecure-skip-verify=true --model-server-metrics-path=/m --model-server-metrics-port=8001
--model-server-metrics-scheme=https --pool-group=inference.networking.k8s.io --pool-name=p --pool-namespace=n
--refresh-metrics-interval=50ms --refresh-prometheus-metrics-interval=5s --secure-serving=true --tls-cipher-suites=x
--tls-min-version=VersionTLS12 --total-queued-requests-metric=q --total-running-requests-metric=r --tracing=false -v=2
--zap-devel=false --zap-encoder=json --zap-log-level=info --zap-stacktrace-level=error --zap-time-encoding=iso8601
"""
BBR_FLAGS = """\
--cert-path=c --enable-pprof=false --grpc-health-port=9005 --grpc-port=9004 --health-checking
--metrics-endpoint-auth=false --metrics-port=9090 --plugin=body-field-to-header:model
--secure-serving=false --streaming --tracing=false -v=3
--zap-encoder=json
"""


@pytest.mark.parametrize("flag", EPP_FLAGS.split())
def test_the_picker_takes_every_flag_of_the_reference(flag: str) -> None:
    options(arguments([flag]))


def test_the_picker_takes_them_all_together() -> None:
    chosen = options(arguments(EPP_FLAGS.split()))
    assert chosen.scrape_flags.source == {
        "scheme": "https", "path": "/m", "port": 8001, "insecure_skip_verify": True
    }  # fmt: skip


def test_the_router_takes_every_flag_of_the_reference() -> None:
    bbr_arguments(BBR_FLAGS.split())


def test_help_says_which_flags_have_no_effect_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "accepted without effect" in shown
    assert "--enable-pprof […] there is no Go profiler" in shown


def test_a_subset_may_be_ignored_and_tls_may_be_newer() -> None:
    assert options(arguments([])).honours_subset
    assert not options(arguments(["--disable-endpoint-subset-filter"])).honours_subset
    for name, oldest in {"VersionTLS10": "TLSv1_2", "VersionTLS13": "TLSv1_3"}.items():
        tls = options(arguments(["--tls-min-version", name])).listeners.tls
        assert tls is not None
        assert tls.oldest.name == oldest
