"""The command line of the ext_proc services, as the reference's manifests write it."""

import argparse
from pathlib import Path

import pytest

from bbr.__main__ import arguments as bbr_arguments
from epp.__main__ import arguments, options
from gateway.extproc import options as flags


def test_the_arguments_of_published_manifests_are_understood() -> None:
    given = arguments(
        ["--pool-name", "inference-model-server-pool", "--pool-namespace", "inference-model-server", "--v", "4",
         "--zap-encoder", "json", "--config-file", "/config/default-plugins.yaml"]
    )  # fmt: skip
    chosen = options(given)
    assert chosen.default_pool == "inference-model-server/inference-model-server-pool"
    assert chosen.config_file == Path("/config/default-plugins.yaml")
    assert (chosen.listeners.grpc_port, chosen.listeners.health_port, chosen.metrics_port) == (9002, 9003, 9090)
    assert chosen.listeners.cert_path is None


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


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--secure-serving"], "--cert-path"),
        (["--grpc-port", "9003"], "the ports must differ"),
        (["--secure-serving=maybe"], "expected true or false, got 'maybe'"),
        (["--config-file", "a", "--config-text", "b"], "not allowed with"),
        (["explain"], "needs a request id"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_what_cannot_be_is_said(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(argv)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_folders_come_from_the_command_line_else_from_the_environment() -> None:
    environment = {"POINTSMAN_CONFIG_DIR": "/a:/b"}
    assert flags.config_dirs(argparse.Namespace(config_dir=[]), environment) == (Path("/a"), Path("/b"))
    assert flags.config_dirs(argparse.Namespace(config_dir=[Path("/c")]), environment) == (Path("/c"),)
    assert flags.config_dirs(argparse.Namespace(config_dir=[]), {}) == ()


def test_a_tls_folder_is_used_only_when_asked_for(tmp_path: Path) -> None:
    assert options(arguments(["--cert-path", str(tmp_path)])).listeners.cert_path is None
    assert options(arguments(["--secure-serving", "--cert-path", str(tmp_path)])).listeners.cert_path == tmp_path
