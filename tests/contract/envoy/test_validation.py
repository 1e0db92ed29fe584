"""Every rendered set is accepted by `envoy --mode validate`, with routes and endpoints folded into one static file."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.options import Options, PickerBody, PickerTransport
from controlplane.render import render
from controlplane.xds.files import contents
from gateway.kube.objects import ObjectName
from gateway.kube.sources.files import load

pytestmark = pytest.mark.envoy

ADDRESSES = {"model-sim-a": ("10.0.0.1", "fd00::1"), "model-sim-b": ("10.0.0.2",), "epp": ("10.0.0.3", "10.0.0.4")}
SETS = [
    "demo+demo-local",
    "demo+demo-compose",
    "everything",
    "seeds",
    "edges",
    "article",
    "kaito",
    "kaito+kaito-by-path",
    "ai-gateway",
    "ai-gateway-full",
    "providers",
    "istio",
    "empty",
]
OPTIONS = [
    pytest.param(Options(), id="defaults"),
    pytest.param(Options(bbr=None, usage_extraction=False, picker_body=PickerBody.FULL_DUPLEX), id="bare"),
    pytest.param(Options(bbr=("bbr.example", 9004), listen_address="::", port_map={80: 8080}), id="named-bbr"),
    pytest.param(Options(picker=PickerTransport.HTTP, picker_body=PickerBody.FULL_DUPLEX), id="http"),
    pytest.param(Options(tracing_collector=("collector.example", 4317), picker_body=PickerBody.STREAMED), id="traced"),
    pytest.param(Options(picker=PickerTransport.AUTO), id="auto"),
    pytest.param(Options(default_picker=(ObjectName("default", "epp"), 9002)), id="default-picker"),
]


def folders(root: Path, name: str) -> list[Path]:
    if name.startswith("demo"):
        return [root / "config" / part for part in name.split("+")]
    return [root / "tests" / "data" / "manifests" / part for part in name.split("+")]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("options", OPTIONS)
def test_envoy_accepts(envoy_binary: Path, root: Path, tmp_path: Path, name: str, options: Options) -> None:
    loaded = load(folders(root, name))
    assert loaded.problems == ()
    rendered = render(loaded.manifests, ADDRESSES, replace(options, xds_dir=str(tmp_path)))
    assert rendered.faults == ()
    files = contents(rendered.snapshot)
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    node = {"id": "test", "cluster": "test"}
    bootstrap = yaml.safe_load((root / "envoy" / "bootstrap.yaml").read_text())
    static = {
        "node": node,
        "layered_runtime": bootstrap["layered_runtime"],
        "bootstrap_extensions": bootstrap["bootstrap_extensions"],
        "static_resources": {"listeners": _listeners(files), "clusters": _plain(files["cds.json"])},
    }
    (tmp_path / "static.json").write_text(json.dumps(static))

    arguments = [str(envoy_binary), "--mode", "validate", "-c", str(tmp_path / "static.json"), "--log-level", "error"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def _plain(content: bytes) -> list[dict[str, object]]:
    resources: list[dict[str, object]] = json.loads(content)["resources"]
    for resource in resources:
        del resource["@type"]
    return resources


def _listeners(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The listeners with their route configuration inside."""
    listeners: list[dict[str, Any]] = json.loads(files["lds.json"])["resources"]
    for listener in listeners:
        del listener["@type"]
        for chain in listener["filter_chains"]:
            manager = chain["filters"][0]["typed_config"]
            name = manager.pop("rds")["route_config_name"]
            (manager["route_config"],) = _plain(files[f"rds/{name}.json"])
    return listeners
