"""Istio's task about the Inference Extension: what it applies, and what its commands print."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2 as httpx
import pytest
import yaml

from processes.plan import HOST
from tests.e2e.manifests.staging import (
    Staging,
    conditions,
    picked,
    picker_at,
    picker_certificate,
    settings_for,
    slice_at,
    staged,
    status_of,
)
from tests.e2e.stack import Stack, wait_until

pytestmark = pytest.mark.envoy

NAMESPACE = "inference-model-server"


class _Echo(BaseHTTPRequestHandler):
    """Says what it was asked, as the document's echo server does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "method": self.command, "host": self.headers["host"]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def echo_server() -> Iterator[int]:
    """A server of this host; its port."""
    server = ThreadingHTTPServer((HOST, 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def picker_config(root: Path) -> str:
    """What the document's picker is started with."""
    text = (root / "tests/data/manifests/istio/as-written.yaml").read_text()
    found = (document for document in yaml.safe_load_all(text) if document["kind"] == "ConfigMap")
    return str(next(found)["data"]["default-plugins.yaml"])


@pytest.fixture(scope="module")
def stack(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    run = tmp_path_factory.mktemp("istio")
    certificate = picker_certificate(tmp_path_factory.mktemp("certificate"))
    staging = Staging((root / "tests/data/manifests/istio",), certificate=certificate)
    policy = run / "default-plugins.yaml"  # the picker's own, from the document's ConfigMap
    policy.write_text(picker_config(root))
    settings = replace(settings_for(root, run, envoy_binary, staging), epp_config=policy)
    with echo_server() as one, echo_server() as two, echo_server() as three:
        addresses = slice_at("servers", {"app": NAMESPACE}, one, two, three, namespace=NAMESPACE)
        picker = picker_at("endpoint-picker-svc", settings.ports.epp_grpc, NAMESPACE)
        with staged(settings, staging, addresses + picker) as running:
            yield running


def test_head_of_the_exposed_path_gives_200_through_the_picker(stack: Stack) -> None:
    before = picked(stack)

    answer = httpx.head(f"{stack.url}/get")

    assert (answer.status_code, answer.headers["server"]) == (200, "envoy")
    assert picked(stack) == before + 1


def test_head_of_any_other_path_gives_404(stack: Stack) -> None:
    assert httpx.head(f"{stack.url}/headers").status_code == 404


def test_a_get_reaches_a_server_of_the_pool_and_a_path_below_it_does_too(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/get/anything?q=1").raise_for_status().json()

    assert answer == {"path": "/get/anything?q=1", "method": "GET", "host": answer["host"]}


def test_the_gateway_is_programmed_and_the_picker_is_reached_by_unverified_tls(stack: Stack) -> None:
    def programmed() -> dict[str, str]:
        return {each["type"]: each["status"] for each in status_of(stack)["gateways"][0]["conditions"]}

    wait_until(lambda: programmed() == {"Accepted": "True", "Programmed": "True"}, 20, programmed)
    status = status_of(stack)
    assert status["pools"][0]["pickerSecurity"].startswith("unverified TLS: DestinationRule")
    assert conditions(status["routes"][0])["Accepted"] == ("True", "Accepted", "Route was valid")
