"""`python -m tests.bench.real_engine URL URL`: cached tokens of real engines against what the picker expects.

The picker sends the transcripts of `tests/lab/transcripts.py` to two servers of one model, vLLM for example, started
with `--enable-prompt-tokens-details`. What each answer reports is printed beside what was expected, and written to
tests/data/real-engine.json, which a test replays.
"""

import json
import re
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from tests.lab.real_engine import Answer, Engine, Replay, error_of
from tests.lab.transcripts import Step, steps

OUTPUT = Path(__file__).resolve().parents[1] / "data" / "real-engine.json"
SECONDS = 120.0


def main(urls: Sequence[str]) -> None:
    """Send, print, write."""
    model = str(_get(f"{urls[0]}/v1/models")["data"][0]["id"])
    replay = Replay(_engine(urls[0]), len(urls))
    rows: list[Answer] = []
    errors: list[float] = []
    for step in steps(model):
        server, expected = replay.send(step)
        answer = Answer(server, *_usage(step, urls[server]))
        replay.answered(answer)
        rows.append(answer)
        errors.append(error_of(expected, answer))
        print(f"{step.transcript:2} {step.turn} {step.sent.path:22} {server} expected {expected:.3f} {answer}")
    print(
        f"error as a share of the prompt: median {median(errors):.4f}, mean {mean(errors):.4f}, most {max(errors):.4f}"
    )
    document = {"engine": replay.engine._asdict(), "model": model, "answers": [list(row) for row in rows]}
    OUTPUT.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def _engine(url: str) -> Engine:
    with urllib.request.urlopen(f"{url}/metrics", timeout=SECONDS) as answer:
        text = answer.read().decode()
    info = next(line for line in text.splitlines() if line.startswith("vllm:cache_config_info{"))
    version = _get(f"{url}/version")["version"]
    return Engine(f"vLLM {version}", *(int(_label(info, name)) for name in ("block_size", "num_gpu_blocks")))


def _label(line: str, name: str) -> str:
    found = re.search(rf'[{{,]{name}="([^"]*)"', line)
    assert found is not None, f"{name} is no label of {line[:80]}"
    return found[1]


def _usage(step: Step, url: str) -> Iterator[int]:
    """Prompt tokens, and those of them that were cached."""
    sent = step.sent
    request = urllib.request.Request(
        url + sent.path, json.dumps(sent.body).encode(), {"content-type": "application/json", **sent.headers}
    )
    usage = _get(request)["usage"]
    if "input_tokens_details" in usage:
        return iter((usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]))
    if "cache_read_input_tokens" in usage:  # Anthropic counts cached tokens beside the others
        cached = usage["cache_read_input_tokens"] or 0
        return iter((usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0), cached))
    return iter((usage["prompt_tokens"], (usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0))


def _get(request: str | urllib.request.Request) -> Mapping[str, Any]:
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        found: Mapping[str, Any] = json.load(answer)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
