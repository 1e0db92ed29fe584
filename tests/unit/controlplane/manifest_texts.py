"""Short manifests for the control plane's tests."""

from collections.abc import Mapping
from pathlib import Path

from gateway.kube.objects import Manifests
from gateway.kube.sources.files import load

POOL_KIND = "{group: inference.networking.k8s.io, kind: InferencePool, name: %s}"


def manifests(folder: Path, *texts: str) -> Manifests:
    folder.mkdir(exist_ok=True)
    (folder / "all.yaml").write_text("\n---\n".join(texts))
    loaded = load([folder])
    assert loaded.problems == (), loaded.problems
    return loaded.manifests


def gateway(*listeners: str, name: str = "g", namespace: str = "default") -> str:
    shown = ", ".join(listeners or ("{name: http, port: 80, protocol: HTTP}",))
    return (
        f"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{gatewayClassName: c, listeners: [{shown}]}}\n"
    )


def route(
    *rules: str,
    name: str = "r",
    namespace: str = "default",
    parents: str = "{name: g}",
    hosts: str = "",
    created: str = "",
) -> str:
    stamp = f", creationTimestamp: '{created}'" if created else ""
    return (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
        f"metadata: {{name: {name}, namespace: {namespace}{stamp}}}\n"
        f"spec:\n  parentRefs: [{parents}]\n  hostnames: [{hosts}]\n  rules:\n"
        + "".join(f"  - {rule}\n" for rule in rules or ("{}",))
    )


def to_pool(path: str = "/", pool: str = "p", **match: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in match.items())
    return f"{{matches: [{{path: {{value: '{path}'}}{more}}}], backendRefs: [{POOL_KIND % pool}]}}"


def pool(
    name: str = "p", namespace: str = "default", picker: str = "epp", mode: str = "FailClose", notes: str = ""
) -> str:
    ref = f"endpointPickerRef: {{name: {picker}, port: {{number: 9002}}, failureMode: {mode}}}" if picker else ""
    return (
        "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\n"
        f"metadata: {{name: {name}, namespace: {namespace}, annotations: {{{notes}}}}}\n"
        f"spec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  targetPorts: [{{number: 8000}}]\n  {ref}\n"
    )


def service(name: str = "epp", namespace: str = "default", spec: str = "ports: [{port: 9002}]") -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"


def routes_file(files: Mapping[str, bytes], port: int = 80) -> str:
    """The name of a listener's route configuration."""
    (name,) = (name for name in files if name.startswith(f"rds/listener_{port}"))
    return name
