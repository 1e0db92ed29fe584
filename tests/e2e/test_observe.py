"""Dashboards and alert rules against a real Prometheus that scraped a running stack: every panel has data, and every
rule and panel speaks of metrics that exist.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import httpx2 as httpx
import pytest
import yaml

from processes.plan import HOST, Ports
from tests.conftest import ROOT, free_ports, required
from tests.e2e.stack import Stack, all_are_well, wait_until
from tests.e2e.test_requests import chat

OBSERVE = ROOT / "config" / "observe"
DASHBOARDS = sorted((OBSERVE / "grafana" / "dashboards").glob("*.json"))
PUBLISHED = ROOT / "tests" / "data" / "published-dashboards.yaml"
RULES = ROOT / "config" / "alerts.yaml"
QWEN, PHI = "Qwen/Qwen3-32B", "phi-4-mini-instruct"
SCRAPE_SECONDS = 1
INTERVAL = "20s"  # in place of Grafana's own; four scrapes and more
FORMS = {
    "quantile": f"histogram_quantile(0.9, sum by ({{labels}}) (rate({{metric}}_bucket{{selector}}[{INTERVAL}])))",
    "rate": f"rate({{metric}}{{selector}}[{INTERVAL}])",
    "value": "{metric}{selector}",
}
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SUFFIXES = ("_bucket", "_count", "_sum", "_total")
_WORDS = frozenset(
    ("sum", "max", "min", "by", "le", "rate", "increase", "topk", "histogram_quantile", "unless", "or", "vector")
)


class Panel(NamedTuple):
    """One expression of a dashboard."""

    board: str
    title: str
    expression: str


def panels() -> list[Panel]:
    found = []
    for file in DASHBOARDS:
        board = json.loads(file.read_text(encoding="utf-8"))
        found += [
            Panel(file.stem, panel["title"], target["expr"]) for panel in board["panels"] for target in panel["targets"]
        ]
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


class Prometheus:
    """A running one."""

    def __init__(self, url: str) -> None:
        self.url = url

    def values(self, expression: str) -> list[float]:
        """What an expression has now, without what is no number."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=20)
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found = [float(sample["value"][1]) for sample in answer.json()["data"]["result"]]
        return [value for value in found if not isnan(value)]

    def families(self) -> set[str]:
        """Every metric of which any target has told."""
        return set(httpx.get(f"{self.url}/api/v1/metadata", timeout=20).json()["data"])

    def are_up(self, targets: int) -> bool:
        """Whether all targets were scraped. One that starts answers 503 to everything."""
        try:
            is_ready = httpx.get(f"{self.url}/-/ready", timeout=20).status_code == 200
            return is_ready and self.values("up") == [1.0] * targets
        except httpx.HTTPError:
            return False


def configuration(ports: Ports) -> dict[str, Any]:
    """The profile's own, with this stack's addresses and a scrape each second."""
    found: dict[str, Any] = yaml.safe_load((OBSERVE / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {"envoy": [ports.envoy_admin], "epp": [ports.epp_metrics], "bbr": [ports.bbr_metrics],
               "controlplane": [ports.controlplane_http], "model-servers": [*ports.simulators]}  # fmt: skip
    jobs = [
        {"job_name": job["job_name"], "metrics_path": job.get("metrics_path", "/metrics"),
         "static_configs": [{"targets": [f"{HOST}:{port}" for port in targets[job["job_name"]]]}]}
        for job in found["scrape_configs"]
    ]  # fmt: skip
    assert {job["job_name"] for job in jobs} == targets.keys()
    return {
        **found,
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": jobs,
    }


@pytest.fixture(scope="module")
def prometheus(ext_proc_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that scraped the stack while requests were served, failed over and refused."""
    required("Prometheus", shutil.which("prometheus"), install="apt-get install prometheus")
    folder, (port,) = tmp_path_factory.mktemp("prometheus"), free_ports(1)
    ports = ext_proc_stack.settings.ports
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(ports)))
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
               f"--web.listen-address={HOST}:{port}", "--log.level=warn"]  # fmt: skip
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            found = Prometheus(f"http://{HOST}:{port}")
            wait_until(lambda: found.are_up(4 + len(ports.simulators)), 60, (folder / "log").read_text)
            with suppress(AssertionError):  # which the test of the panels tells
                wait_until(lambda: has_data(found, ext_proc_stack), 60)
            yield found
            wait_until(lambda: all_are_well(ext_proc_stack), 60)
        finally:
            process.terminate()
            process.wait(30)


def has_data(found: Prometheus, stack: Stack) -> bool:
    for model in (QWEN, PHI):
        serve(stack, model, "hello " * 200)
    trouble(stack)
    return not (missing(found) or without_data(found))


def trouble(stack: Stack) -> None:
    """A server that fails, a request that is refused, one for a model that nobody has."""
    server = f"http://{HOST}:{stack.settings.ports.simulators[3]}/admin/faults"
    httpx.post(server, json={"error": {"status": 503}}).raise_for_status()
    try:
        for number in range(10):
            serve(stack, PHI, f"{number} " * 50)
    finally:
        httpx.delete(server).raise_for_status()
    httpx.post(f"{stack.url}/v1/chat/completions", json={"model": QWEN, "messages": 7}, timeout=30)
    httpx.post(f"{stack.url}/v1/chat/completions", json=chat(QWEN, temperature=-1), timeout=30)
    crowd(stack)
    httpx.post(f"{stack.url}/v1/chat/completions", json=chat("nobody-has-it"), timeout=30)


def crowd(stack: Stack) -> None:
    """Servers of one pool that have no room for a moment: a request waits, and metrics of its queue are there."""
    servers = [f"http://{HOST}:{port}/admin/faults" for port in stack.settings.ports.simulators[3:]]
    for server in servers:
        httpx.post(server, json={"metrics": {"num_requests_waiting": 50}}).raise_for_status()
    try:
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(serve, stack, PHI, "waits")
            wait_until(lambda: is_queued(stack) or waits.done(), 20)
            time.sleep(2 * SCRAPE_SECONDS)  # while it waits, Prometheus has to come by
            for server in servers:
                httpx.delete(server).raise_for_status()
            waits.result()
    finally:
        for server in servers:
            httpx.delete(server).raise_for_status()


def is_queued(stack: Stack) -> bool:
    found = httpx.get(f"http://{HOST}:{stack.settings.ports.epp_metrics}/debug/queues", timeout=20).json()
    return any(queue["waiting"]["requests"] for queue in found["queues"])


def serve(stack: Stack, model: str, prompt: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 5}
    httpx.post(f"{stack.url}/v1/chat/completions", json=body, timeout=30)


def missing(found: Prometheus) -> list[str]:
    """Panels without data."""
    return [
        f"{panel.board}, {panel.title}: {panel.expression}"
        for panel in panels()
        if not found.values(panel.expression.replace("$__rate_interval", INTERVAL))
    ]


def test_every_panel_has_data(prometheus: Prometheus) -> None:
    assert missing(prometheus) == []


def published() -> Iterator[str]:
    """What panels of dashboards that others publish come to: every label that they group by has to say something."""
    boards = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    for selected in boards.pop("selected"):
        yield f"rate({selected}[{INTERVAL}])"
    for board in boards.values():
        for form, series in board.items():
            for metric, labels in series.items():
                selector = ",".join(f'{label}!=""' for label in labels)
                yield FORMS[form].format(metric=metric, selector=f"{{{selector}}}", labels=",".join(("le", *labels)))


def test_dashboards_that_others_publish_have_data(prometheus: Prometheus) -> None:
    assert without_data(prometheus) == ""


def without_data(found: Prometheus) -> str:
    return "\n".join(each for each in published() if not found.values(each))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_is_evaluated_and_speaks_of_metrics_that_exist(prometheus: Prometheus, rule: dict[str, Any]) -> None:
    prometheus.values(rule["expr"])

    assert names(rule["expr"]) - known(prometheus) == set()


def test_every_panel_speaks_of_metrics_that_exist(prometheus: Prometheus) -> None:
    spoken = set().union(*(names(panel.expression) for panel in panels()))

    assert spoken - known(prometheus) == set()


def known(found: Prometheus) -> set[str]:
    return {f"{family.removesuffix('_total')}{suffix}" for family in found.families() for suffix in ("", *_SUFFIXES)}


def names(expression: str) -> set[str]:
    """Metrics of an expression."""
    bare = re.sub(r"\bby \([^)]*\)|\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|offset \w+|\$\w+", " ", expression)
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def test_every_rule_has_a_place_in_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    anchors = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", page, re.MULTILINE)}
    for rule in rules():
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (file, anchor) == ("docs/operations.md", rule["alert"].lower())
        assert anchor in anchors


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    required("promtool", shutil.which("promtool"), install="apt-get install prometheus")
    text = (OBSERVE / "prometheus.yml").read_text(encoding="utf-8").replace("/config/alerts.yaml", str(RULES))
    (tmp_path / "prometheus.yml").write_text(text)
    checked = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_dashboards_are_provisioned_from_the_data_source_that_there_is() -> None:
    provisioning = OBSERVE / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    boards = [json.loads(file.read_text(encoding="utf-8")) for file in DASHBOARDS]

    assert {
        target["datasource"]["uid"] for board in boards for panel in board["panels"] for target in panel["targets"]
    } == {source["uid"]}
    assert len({board["uid"] for board in boards}) == len(boards) == 3
    assert all(panel["id"] and panel["title"] for board in boards for panel in board["panels"])
