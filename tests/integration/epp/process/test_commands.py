"""`epp explain` and `epp --check-config` as a user meets them: an exit status, and one clear line for each mistake."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from epp.__main__ import main
from tests.conftest import free_ports

WRONG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControll]
plugins:
- type: queue-scorrer
- type: max-score-picker
  parameters: {maxNumOfEndpoints: -1}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, wieght: 3}
"""


class Answers(http.server.BaseHTTPRequestHandler):
    """What somebody else's server says."""

    def do_GET(self) -> None:
        body = b"<html>not a picker</html>"
        if self.path.endswith("/garbage"):
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n")
            return
        self.send_response(404 if self.path.endswith("/unknown") else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing into the test's output."""


@pytest.fixture
def stranger() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def refusal(*arguments: str) -> str:
    """What the command says when it fails."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, str)  # printed to stderr; the status is 1
    return ended.value.code


def unexplained(capsys: pytest.CaptureFixture[str], request_id: str, url: str) -> str:
    """What `explain` writes when it could not do its work."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", request_id, "--url", url])
    assert ended.value.code == 2
    return capsys.readouterr().err.removesuffix("\n")


@pytest.mark.parametrize(
    ("request_id", "words"),
    [("html", "is no operators' port"), ("garbage", "is no operators' port"), ("unknown", "answers 404")],
)
def test_explain_says_in_one_line_that_a_stranger_answered(
    stranger: str, capsys: pytest.CaptureFixture[str], request_id: str, words: str
) -> None:
    message_text = unexplained(capsys, request_id, stranger)
    assert words in message_text
    assert "\n" not in message_text


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:9090", "http://127.0.0.1:port", "http://[::1"])
def test_explain_names_an_url_that_is_none(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert unexplained(capsys, "x", url) == f"--url: expected http://HOST:PORT, got {url!r}"


def test_explain_says_that_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    assert "does not answer: Connection refused" in unexplained(capsys, "x", f"http://127.0.0.1:{port}")


def test_check_config_has_a_line_for_each_mistake_with_place_and_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG)
    assert refusal("--check-config", str(file)).splitlines() == [
        f"{file}:4: featureGates[0]: unknown feature gate 'flowControll'; did you mean 'flowControl'?",
        f"{file}:6: plugins[0].type: unknown plugin type 'queue-scorrer'; did you mean 'queue-scorer'?",
        f"{file}:8: plugins[1].parameters.maxNumOfEndpoints: expected at least 1, got -1",
        f"{file}:12: schedulingProfiles[0].plugins[0].wieght: unknown field; did you mean 'weight'?",
    ]


def test_check_config_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    assert refusal("--check-config", str(tmp_path / "none")) == f"{tmp_path / 'none'}: No such file or directory"
    assert refusal("--check-config", str(tmp_path)) == f"{tmp_path}: Is a directory"
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert refusal("--check-config", str(tmp_path / "bytes")) == f"{tmp_path / 'bytes'}: not UTF-8 text, at byte 0"


def test_check_config_of_a_good_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "good.yaml"
    file.write_text("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n")
    main(["--check-config", str(file)])
    assert capsys.readouterr().out == f"{file}: ok\n"


def test_check_config_tells_a_warning_with_its_place_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "good.yaml"
    file.write_text("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: latency-scorer}]\n")
    main(["--check-config", str(file)])
    assert capsys.readouterr().out.splitlines() == [
        f"warning: {file}:3: plugins[0].type: 'latency-scorer' is not here yet: predicted latency is not scored",
        f"{file}: ok",
    ]


OWN = '''
from dataclasses import dataclass
from epp.scheduling.plugin import parameter

@dataclass(frozen=True, slots=True)
class ZoneScorer:
    """Prefers endpoints of one zone."""

    zone: str = parameter("a", "where Envoy runs")

    def score(self, view):
        return [0.0] * len(view)

    def keep(self, view):
        return [True] * len(view)

class Plain:
    pass
'''


def install(where: Path, entries: str, code: str) -> None:
    """A package as an installer leaves it."""
    info = where / "listed_plugins-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: listed-plugins\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[pointsman.epp.plugins]\n{entries}\n")
    (where / "listed_plugins.py").write_text(code)


def test_plugins_lists_those_of_installed_packages_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plugins"])
    built_in = capsys.readouterr().out.strip()
    install(tmp_path, "zone-scorer = listed_plugins:ZoneScorer\nplain = listed_plugins:Plain", OWN)
    monkeypatch.syspath_prepend(tmp_path)
    main(["plugins"])
    page = capsys.readouterr().out.strip()
    assert page.startswith(built_in)
    assert page.removeprefix(built_in).strip().splitlines() == [
        "## From installed packages",
        "",
        "",
        "### plain",
        "",
        "Cannot be used: must be called with a dataclass type or instance",
        "",
        "### zone-scorer (filter, scorer)",
        "",
        "Prefers endpoints of one zone.",
        "",
        "| parameter | type | default | why |",
        "|---|---|---|---|",
        "| `zone` | string | a | where Envoy runs |",
    ]


def test_plugins_names_a_package_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "zone = listed_plugins:Gone", OWN)
    monkeypatch.syspath_prepend(tmp_path)
    assert refusal("plugins").startswith("plugin 'zone' of listed_plugins:Gone cannot be loaded")
