"""The body-based router follows the ConfigMaps with its label, of its namespace alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import account, eventually, kubectl, put, running
from tests.cluster.seed import granted

MANAGED = "inference.networking.k8s.io/bbr-managed"


def config_map(base: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": base, "labels": {MANAGED: "true", **labels}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"baseModel": base}}


def test_models_come_and_go_with_their_config_maps(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(namespace, *granted(namespace, "bbr", ("", ["configmaps"])), config_map("llama"))
    monkeypatch.setenv("NAMESPACE", namespace)
    arguments = ("--zap-encoder", "json", "--secure-serving=false")
    with running(tmp_path, "bbr", *arguments, kubeconfig=account(namespace, tmp_path)) as service:

        def mapped() -> list[int]:
            return [line["names"] for line in service.log() if line["event"] == "model names mapped"]

        eventually(lambda: service.is_ready and mapped() == [1], service.file.read_text)
        put(namespace, config_map("qwen"))
        eventually(lambda: mapped() == [1, 2], service.file.read_text)
        kubectl("-n", namespace, "label", "configmap", "llama", f"{MANAGED}-")
        eventually(lambda: mapped() == [1, 2, 1], service.file.read_text)
