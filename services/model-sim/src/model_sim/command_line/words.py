"""The words of a command line before argparse sees them: vLLM's spellings made uniform, `--config FILE` put in.

It reads that one file and nothing else.
"""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from gateway.schema.problems import Findings
from gateway.schema.yamltext import one
from model_sim.command_line import options, vllm_options
from model_sim.command_line.values import UsageError


def canonical(word: str) -> str:
    """`--max_num_seqs` is `--max-num-seqs`; `--a.b=c` sets a key inside the JSON value of `--a`, as does `-a.b=c`."""
    name, equals, value = word.partition("=")
    if name.partition(".")[0] in vllm_options.SHORT:
        return name.partition(".")[0] + equals + value
    if not word.startswith("--"):
        return word
    name = name.partition(".")[0].replace("_", "-")
    return name + equals + value


def with_config(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Put the options of `--config` before those of the command line, which so win."""
    path = None
    for index, word in enumerate(words):
        if word == "--config" and index + 1 < len(words):
            path = words[index + 1]
        elif word.startswith("--config="):
            path = word.partition("=")[2]
    if path is None:
        return words
    model, given = _config_words(parser, _config(path))
    if model is not None and not any(word == "--model" or word.startswith("--model=") for word in words):
        positional = bool(words) and not words[0].startswith("-")
        given = given if positional else ["--model", model, *given]
    leading = 1 if words and not words[0].startswith("-") else 0
    return [*words[:leading], *given, *words[leading:]]


def _config(path: str) -> Mapping[str, object]:
    """The options of a file."""
    findings = Findings()
    try:
        document = one(Path(path).read_text(encoding="utf-8"), path, findings)
    except OSError as error:
        raise UsageError(f"argument --config: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"argument --config: {path}: not UTF-8 at byte {error.start}") from error
    found = {} if document is None else {key: value.data for key, value in document.members().items()}
    if findings.problems:
        raise UsageError(f"argument --config: {findings.problems[0]}")
    return found


def _config_words(parser: argparse.ArgumentParser, document: Mapping[str, object]) -> tuple[str | None, list[str]]:
    made: list[str] = []
    known = options.strings(parser)
    model = None
    for key, value in document.items():
        name = f"--{key.replace('_', '-')}"
        if name == "--model":
            model = str(value)
        elif isinstance(value, bool):
            negated = f"--no-{name[2:]}"
            if value or negated in known:
                made.append(name if value else negated)
        elif isinstance(value, list):
            made += [name, *(item if isinstance(item, str) else _json(item) for item in value)]
        elif value is not None:
            made += [name, _json(value) if isinstance(value, dict) else str(value)]
    return model, made


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def refuse_unknown(parser: argparse.ArgumentParser, rest: Sequence[str]) -> None:
    """Raise UsageError for what argparse did not know, with the nearest option there is."""
    for word in rest:
        if word.startswith("-"):
            name = word.partition("=")[0]
            near = difflib.get_close_matches(name, sorted(options.strings(parser)), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"unknown option {name}{hint}")
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}")
