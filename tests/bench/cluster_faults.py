"""`make faults-cluster`: what clients of a whole gateway in a cluster notice of faults around it, with a verdict each.

It installs the charts with two of everything and three simulated model servers, streams answers through the Gateway,
and lets one fault after the other happen: an API server that is silent for a minute, rollouts and lost Pods of a part.
A request that gets no answer is failed; an answer that ends early is cut. It runs in the cluster's network, which must
have the images. It prints a table, writes build/bench/cluster_faults.json, and exits with 1 if any client noticed.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from gateway.service import clock

ROOT = Path(__file__).parents[2]
HELM = ROOT / ".tools" / "helm" / "helm"
NAMESPACE: Final = "faults"
POOL: Final = "vllm-qwen3-32b"
STREAMS: Final = 12
TOKENS: Final = 300  # some five seconds
SETTLE_SECONDS: Final = 3.0
RESULT = Path("build/bench/cluster_faults.json")


@dataclass
class Row:
    """What clients saw during one fault."""

    fault: str
    seconds: float = 0.0
    whole: int = 0
    failed: list[str] = field(default_factory=list)
    cut: int = 0
    longest: float = 0.0  # seconds of one answer

    @property
    def is_unnoticed(self) -> bool:
        return self.whole > 0 and not self.failed and not self.cut


def kubectl(*words: str, text: str | None = None) -> str:
    """What it prints; it must succeed."""
    done = subprocess.run(["kubectl", "-n", NAMESPACE, *words], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kubectl {' '.join(words)}: {done.stderr}")
    return done.stdout


async def kubectl_async(*words: str) -> str:
    return await asyncio.to_thread(kubectl, *words)


def install(tag: str) -> str:
    """Everything that is under test; the Gateway's address."""
    subprocess.run(["kubectl", "create", "namespace", NAMESPACE], check=False, capture_output=True)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    servers = (ROOT / "config" / "kubernetes" / "model-servers.yaml").read_text().replace(":dev", f":{tag}")
    kubectl("apply", "-f", "-", text=servers)
    gateway = ["envoy.serviceType=ClusterIP", "envoy.replicas=2", "controlplane.replicas=2", "bbr.replicas=2"]
    pool = [f"inferencePool.modelServers.matchLabels.app={POOL}", "experimentalHttpRoute.enabled=true",
            "inferenceExtension.replicas=2"]  # fmt: skip
    helm("pointsman", "pointsman", *gateway, f"images.tag={tag}")
    helm(
        POOL,
        "inferencepool",
        *pool,
        f"inferenceExtension.image.tag={tag}",
        "inferenceExtension.resources.requests.cpu=100m",
    )
    kubectl("wait", "--for=condition=Programmed", "gateway/inference-gateway", "--timeout=120s")
    for each in ("pointsman", "pointsman-bbr", "inference-gateway-pointsman", POOL, f"{POOL}-epp"):
        kubectl("rollout", "status", f"deployment/{each}", "--timeout=180s")
    return kubectl("get", "gateway", "inference-gateway", "-o", "jsonpath={.status.addresses[0].value}")


def helm(release: str, chart: str, *values: str) -> None:
    command = [str(HELM), "upgrade", "--install", release, str(ROOT / "charts" / chart), "-n", NAMESPACE]
    subprocess.run([*command, *(f"--set={each}" for each in values)], check=True, capture_output=True)


async def stream(session: aiohttp.ClientSession, address: str, row: Row) -> None:
    """One streamed answer."""
    body = {"model": "Qwen/Qwen3-32B", "prompt": "San Francisco", "max_tokens": TOKENS, "stream": True}
    began, text = clock.monotonic(), b""
    try:
        async with session.post(f"http://{address}/v1/completions", json=body) as answer:
            if answer.status != 200:
                row.failed.append(f"{answer.status} {(await answer.text())[:120]}")
                return
            async for piece in answer.content.iter_any():
                text += piece
    except (aiohttp.ClientError, TimeoutError) as error:
        if text:
            row.cut += 1
        else:
            row.failed.append(repr(error)[:120])
        return
    if b"[DONE]" in text:
        row.whole += 1
    else:
        row.cut += 1
    row.longest = max(row.longest, clock.monotonic() - began)


@contextlib.asynccontextmanager
async def loaded(address: str, row: Row) -> AsyncIterator[None]:
    """Streams, one after the other for each of many clients, until the body ends; those under way are seen to their
    end."""
    ended = asyncio.Event()

    async def client(session: aiohttp.ClientSession) -> None:
        while not ended.is_set():
            await stream(session, address, row)

    timeout = aiohttp.ClientTimeout(total=120, sock_connect=5)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            group.create_task(client(session))
        began = clock.monotonic()
        await asyncio.sleep(SETTLE_SECONDS)
        yield
        await asyncio.sleep(SETTLE_SECONDS)
        row.seconds = clock.monotonic() - began
        ended.set()


async def silence(seconds: float) -> None:
    """The API server answers nothing for so long."""
    run = Path(f"/run/{os.environ.get('K8S_NETNS', 'pointsman-k8s')}/kube-apiserver.pid")
    process = int(run.read_text())
    os.kill(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(process, signal.SIGCONT)


async def rollout(deployment: str) -> None:
    await kubectl_async("rollout", "restart", f"deployment/{deployment}")
    await kubectl_async("rollout", "status", f"deployment/{deployment}", "--timeout=180s")


async def delete_one(selector: str) -> None:
    """One of the Pods, which gets its grace."""
    names = (await kubectl_async("get", "pods", "-l", selector, "-o", "name")).split()
    await kubectl_async("delete", names[0], "--wait=true", "--timeout=120s")


async def kill_all(selector: str) -> None:
    """Every Pod of a part at once, without grace."""
    await kubectl_async("delete", "pods", "-l", selector, "--grace-period=0", "--force")
    await asyncio.sleep(10)


ENVOYS: Final = "gateway.networking.k8s.io/gateway-name=inference-gateway"
FAULTS: Final[dict[str, Callable[[], Awaitable[None]]]] = {
    "nothing happens": lambda: asyncio.sleep(5),
    "API server silent for 60 s": lambda: silence(60),
    "a picker's Pod is deleted": lambda: delete_one(f"inferencepool={POOL}-epp"),
    "rollout of the pickers": lambda: rollout(f"{POOL}-epp"),
    "rollout of the routers": lambda: rollout("pointsman-bbr"),
    "rollout of the control plane": lambda: rollout("pointsman"),
    "both control planes are killed": lambda: kill_all("app.kubernetes.io/name=pointsman"),
    "rollout of the Envoys": lambda: rollout("inference-gateway-pointsman"),
    "an Envoy's Pod is deleted": lambda: delete_one(ENVOYS),
    "rollout of the model servers": lambda: rollout(POOL),
}


async def measured(address: str, chosen: list[str]) -> list[Row]:
    rows = []
    for name in chosen:
        row = Row(name)
        async with loaded(address, row):
            await FAULTS[name]()
        rows.append(row)
        reasons = f"  {row.failed[0]}" if row.failed else ""
        print(f"{name:34} {row.seconds:6.1f} s {row.whole:5} whole {len(row.failed):4} failed {row.cut:3} cut"
              f"  longest {row.longest:5.1f} s{reasons}", flush=True)  # fmt: skip
        await asyncio.sleep(SETTLE_SECONDS)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser("tests.bench.cluster_faults")
    parser.add_argument("--tag", default="dev", help="of the images, which the cluster must have")
    parser.add_argument("--only", action="append", choices=tuple(FAULTS), help="repeat it")
    parser.add_argument("--keep", action="store_true", help="leave everything as it is")
    given = parser.parse_args()
    try:
        rows = asyncio.run(measured(install(given.tag), given.only or [*FAULTS]))
    finally:
        if not given.keep:
            for release in ("pointsman", POOL):
                subprocess.run([str(HELM), "uninstall", "-n", NAMESPACE, release], check=False, capture_output=True)
            subprocess.run(
                ["kubectl", "delete", "namespace", NAMESPACE, "--wait=false"], check=False, capture_output=True
            )
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    sys.exit(not all(row.is_unnoticed for row in rows))


if __name__ == "__main__":
    main()
