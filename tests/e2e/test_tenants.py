"""Two tenants with keys of a keys file, on the whole stack: who is answered, with which models, from which cache."""

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest

from processes.plan import HOST, Keys
from tests.conftest import free_ports
from tests.e2e.stack import PORT_COUNT, READY_SECONDS, Stack, free_stack_ports, process_stack, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

QWEN, PHI = "Qwen/Qwen3-32B", "phi-4-mini-instruct"
CLIENTS = {"alice": "team-a", "anna": "team-a", "bob": "team-b", "carol": "team-a", "quinn": "limited"}
# `team-b` has one pool's model; `team` is a prefix of both names and has another one.
TENANTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: tenants, labels: {pointsman.dev/tenants: "true"}}
data:
  tenants: |
    isolation: tenant
    tenants:
    - {name: team-a}
    - {name: team-b, models: ["phi-*"]}
    - {name: team, models: [nothing]}
    - {name: limited, costCentre: research, quotas: [{tokens: 60, per: hour}]}
"""


@dataclass(frozen=True)
class Tenancy:
    """The stack, its keys file, and the key of each client."""

    stack: Stack
    file: Path
    keys: dict[str, str]

    def ask(self, key: str | None, prompt: str = "hello", model: str = PHI, **body: object) -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        sent = {"model": model, "prompt": prompt, "max_tokens": 1, **body}
        return httpx.post(f"{self.stack.url}/v1/completions", json=sent, headers=headers, timeout=30)

    def cached(self, client: str, prompt: str, **body: object) -> int:
        answer = self.ask(self.keys[client], prompt, PHI, **body).raise_for_status().json()
        return int((answer["usage"].get("prompt_tokens_details") or {}).get("cached_tokens") or 0)

    def command(self, root: Path, *words: str) -> str:
        program = [str(root / ".venv/bin/pointsman"), "keys", *words, "--keys-file", str(self.file)]
        return subprocess.run(program, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def tenancy(root: Path, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenancy]:
    run = tmp_path_factory.mktemp("tenants")
    (run / "tenants").mkdir()
    (run / "tenants" / "tenants.yaml").write_text(TENANTS)
    (run / "salt").write_text("0123456789abcdef0123456789abcdef")
    made = Tenancy(None, run / "keys.txt", {})  # type: ignore[arg-type]  # the stack needs the file first
    for name, tenant in CLIENTS.items():
        made.keys[name] = made.command(root, "new", name, "--tenant", tenant)
    folders = (root / "config" / "demo", run / "overlay", run / "tenants")
    files = Keys(made.file, run / "salt")
    ports = free_stack_ports(free_ports(PORT_COUNT))
    with process_stack(root, run, envoy_binary, ports, config_dirs=folders, keys=files) as stack:
        found = Tenancy(stack, made.file, made.keys)
        for model in (QWEN, PHI):
            wait_until(lambda name=model: found.ask(found.keys["alice"], model=name).status_code == 200, READY_SECONDS)
        yield found


def test_the_clients_of_both_apis_are_answered_and_refused_in_their_own_words(tenancy: Tenancy) -> None:
    url, key = tenancy.stack.url, tenancy.keys["bob"]
    ours = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    theirs = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
    said: list[openai.types.chat.ChatCompletionUserMessageParam] = [{"role": "user", "content": "hello"}]

    assert ours.chat.completions.create(model=PHI, messages=said, max_tokens=3).choices
    assert theirs.messages.create(model=PHI, max_tokens=3, messages=[{"role": "user", "content": "hello"}]).content
    with pytest.raises(openai.NotFoundError):
        ours.chat.completions.create(model=QWEN, messages=said)
    with pytest.raises(anthropic.NotFoundError):
        theirs.messages.create(model=QWEN, max_tokens=3, messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(openai.AuthenticationError) as refused:
        openai.OpenAI(base_url=f"{url}/v1", api_key="pm-wrong", max_retries=0).models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(anthropic.AuthenticationError) as denied:
        anthropic.Anthropic(base_url=url, api_key="pm-wrong", max_retries=0).messages.create(
            model=PHI, max_tokens=3, messages=[{"role": "user", "content": "hello"}]
        )
    assert "authentication_error" in str(denied.value.body)


def test_a_tenant_sees_its_models_and_no_others(tenancy: Tenancy) -> None:
    def get(path: str, client: str) -> httpx.Response:
        return httpx.get(tenancy.stack.url + path, headers={"x-api-key": tenancy.keys[client]}, timeout=30)

    listed = {name: {item["id"] for item in get("/v1/models", name).json()["data"]} for name in ("alice", "bob")}
    assert listed["bob"] == {PHI}
    assert {QWEN, PHI} < listed["alice"]
    assert [get(f"/v1/models/{model}", "bob").status_code for model in (PHI, QWEN, "code-assist")] == [200, 404, 404]
    hidden, missing = (tenancy.ask(tenancy.keys["bob"], model=model) for model in (QWEN, "Qwen/Qwen3-99B"))
    assert (hidden.status_code, missing.status_code) == (404, 404)
    assert hidden.json() == {"error": {**missing.json()["error"], "message": f"The model '{QWEN}' does not exist."}}
    rewritten = httpx.post(
        f"{tenancy.stack.url}/v1/completions", json={"model": PHI, "prompt": "x", "max_tokens": 1}, timeout=30,
        headers={"x-api-key": tenancy.keys["bob"], "x-gateway-model-name-rewrite": QWEN},
    )  # fmt: skip
    assert rewritten.json()["model"] == PHI


def test_a_tenant_does_not_find_what_another_one_has_in_the_cache(tenancy: Tenancy) -> None:
    prompt = f"{uuid.uuid4()} " + "the quick brown fox jumps over the lazy dog " * 40

    assert tenancy.cached("alice", prompt) == 0
    assert tenancy.cached("alice", prompt) > 0
    assert tenancy.cached("anna", prompt) > 0
    assert tenancy.cached("bob", prompt) == 0
    assert tenancy.cached("bob", prompt) > 0  # its own by now
    fresh = f"{uuid.uuid4()} {prompt}"
    chosen = [tenancy.cached(name, fresh, cache_salt="chosen") for name in ("alice", "bob", "anna")]
    assert chosen[:2] == [0, 0]
    assert chosen[2] > 0


def test_a_tenant_whose_quota_is_used_up_is_refused_in_its_own_words_and_has_a_bill(tenancy: Tenancy) -> None:
    key, url = tenancy.keys["quinn"], tenancy.stack.url

    def is_refused() -> bool:
        return tenancy.ask(key, max_tokens=30, ignore_eos=True).status_code == 429

    assert not is_refused()
    wait_until(is_refused, 30)
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as ours,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        ours.completions.create(model=PHI, prompt="hello")
    assert refused.value.code == "rate_limited"
    assert refused.value.response.headers["x-ratelimit-limit-tokens"] == "60"
    assert 3000 < int(refused.value.response.headers["retry-after"]) <= 3781
    with (
        anthropic.Anthropic(base_url=url, api_key=key, max_retries=0) as theirs,
        pytest.raises(anthropic.RateLimitError),
    ):
        theirs.messages.create(model=PHI, max_tokens=3, messages=[{"role": "user", "content": "hello"}])
    assert tenancy.ask(tenancy.keys["alice"]).status_code == 200

    def billed() -> dict[str, Any]:
        metrics = tenancy.stack.settings.ports.epp_metrics
        answer = httpx.get(f"http://{HOST}:{metrics}/usage?by=tenant,cost_centre", timeout=30).raise_for_status()
        return next((row for row in answer.json()["rows"] if row["tenant"] == "limited"), {"requests": 0})

    # Each answer has some 30 tokens: the second or third ended above the limit, and nothing was served after it.
    wait_until(lambda: billed()["requests"] >= 2, 30)
    found = billed()
    assert found["cost_centre"] == "research"
    assert 2 <= found["requests"] <= 3
    assert found["completion"] == 30 * found["requests"]
    assert found["prompt"] + found["completion"] >= 60


def test_a_revoked_key_is_refused_and_a_broken_file_changes_nothing(tenancy: Tenancy, root: Path) -> None:
    assert tenancy.ask(tenancy.keys["carol"]).status_code == 200
    assert "carol" in tenancy.command(root, "list")
    tenancy.command(root, "revoke", "carol")
    wait_until(lambda: tenancy.ask(tenancy.keys["carol"]).status_code == 401, 20)

    good = tenancy.file.read_text()
    tenancy.file.write_text(good + "one two\n")
    wait_until(lambda: "the keys file is wrong" in tenancy.stack.log("bbr"), 20)
    assert tenancy.ask(tenancy.keys["alice"]).status_code == 200
    new = tenancy.file.with_name("new.txt")
    new.write_text(good)
    new.replace(tenancy.file)
    key = tenancy.command(root, "new", "dora", "--tenant", "team-a")
    wait_until(lambda: tenancy.ask(key).status_code == 200, 20)


def test_no_key_is_shown_anywhere(tenancy: Tenancy) -> None:
    tenancy.ask("pm-not-a-key-of-ours")
    ports = tenancy.stack.settings.ports
    shown = [tenancy.stack.log(name) for name in tenancy.stack.running]
    pages = [(ports.bbr_metrics, "/metrics"), (ports.bbr_metrics, "/debug"), (ports.epp_metrics, "/metrics")]
    pages += [(ports.epp_metrics, "/debug/decisions"), (ports.controlplane_http, "/status")]
    shown += [httpx.get(f"http://{HOST}:{port}{path}", timeout=30).text for port, path in pages]
    hidden = [*tenancy.keys.values(), "pm-not-a-key-of-ours", "0123456789abcdef"]
    assert not [secret for secret in hidden for text in shown if secret in text]
