"""The model servers of docs/kubernetes.md fit the charts that the page installs beside them."""

from pathlib import Path

import yaml

from epp.app.drain import LONGEST_WAIT_SECONDS
from gateway.schema import units
from tests.charts.cases import cases

ROOT = Path(__file__).parents[3]


def test_the_hook_asks_the_picker_of_the_pool_and_leaves_time_to_stop() -> None:
    (article,) = [case for case in cases(ROOT) if case.name == "article"]
    (service,) = article.of("Service")
    deployment = yaml.safe_load((ROOT / "config" / "kubernetes" / "model-servers.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    hook = container["lifecycle"]["preStop"]["exec"]["command"][-1]
    wait = units.duration(hook.partition("?wait=")[2].partition('"')[0])

    assert f"http://{service['metadata']['name']}:9090/drain/" in hook
    assert 9090 in [each["port"] for each in service["spec"]["ports"]]
    assert wait is not None
    assert wait < min(pod["terminationGracePeriodSeconds"], LONGEST_WAIT_SECONDS)
    compile(hook, "hook", "exec")


def test_the_pool_selects_them() -> None:
    (article,) = [case for case in cases(ROOT) if case.name == "article"]
    (pool,) = article.of("InferencePool")
    deployment = yaml.safe_load((ROOT / "config" / "kubernetes" / "model-servers.yaml").read_text())

    assert (
        pool["spec"]["selector"]["matchLabels"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
