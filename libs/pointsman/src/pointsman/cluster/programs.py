"""What a container runs, by its command line or else by its image. Pure.

A table knows the programs; a script of `sh -c` is searched for one of them.
"""

import re
import shlex
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import PurePosixPath
from typing import Final

from pointsman.cluster.environment import expanded
from pointsman.cluster.workload import Container


class Role(Enum):
    """What can stand for a container on this host."""

    MODEL_SERVER = auto()  # a simulator
    ECHO = auto()  # an echo server
    PICKER = auto()  # the stack's own endpoint picker


@dataclass(frozen=True, slots=True)
class Program:
    """A role, and the words after the program's name."""

    role: Role
    arguments: tuple[str, ...]


# A program by its first words, without folders; a version may follow the name of an interpreter.
_ENTRY_POINTS: Final[Sequence[tuple[tuple[str, ...], Role]]] = (
    ((r"vllm", r"serve"), Role.MODEL_SERVER),
    ((r"python[0-9.]*", r"-m", r"vllm\.entrypoints\.(openai\.)?api_server"), Role.MODEL_SERVER),
    ((r"model-sim", r"serve"), Role.MODEL_SERVER),
    ((r"llm-d-inference-sim",), Role.MODEL_SERVER),
    ((r"epp", r"run"), Role.PICKER),
    ((r"epp",), Role.PICKER),
)
# An image by its repository, without a registry's name, tag and digest. The first that matches counts.
_IMAGES: Final[Sequence[tuple[str, Role]]] = (
    (r"(.*/)?(epp|lwepp|endpoint-picker|llm-d-inference-scheduler|llm-d-router[^/]*)", Role.PICKER),
    (r"(.*/)?(llm-d-inference-sim|model-sim|vllm[^/]*|ai-gateway-testupstream)", Role.MODEL_SERVER),
    (r"(.*/)?llm-d(-(aws|cpu|cuda|gke|hpu|rocm|xpu))?", Role.MODEL_SERVER),
    (r"(.*/)?(echo-basic|echo-advanced|echo-?server)", Role.ECHO),
)
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash"})
_BETWEEN_COMMANDS: Final = frozenset(";&|\n()")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_PREFIXES: Final = frozenset({"exec", "env", "nohup", "time"})
# Options of llm-d's simulator that ours has no use for, by how many words follow: one, none, or all to the next option.
_ONE: Final = frozenset([
    "max-request-body-size-mb", "max-waiting-queue-length", "startup-duration", "latency-calculator",
    "time-to-first-token", "time-to-first-token-std-dev", "inter-token-latency", "inter-token-latency-std-dev",
    "kv-cache-transfer-latency", "kv-cache-transfer-latency-std-dev", "prefill-overhead", "prefill-time-per-token",
    "prefill-time-std-dev", "kv-cache-transfer-time-per-token", "kv-cache-transfer-time-std-dev",
    "time-factor-under-load", "time-to-generate-image", "time-to-generate-image-std-dev",
    "max-tool-call-integer-param", "min-tool-call-integer-param", "max-tool-call-number-param",
    "min-tool-call-number-param", "max-tool-call-array-param-length", "min-tool-call-array-param-length",
    "tool-call-not-required-param-probability", "object-tool-call-not-required-field-probability",
    "tool-call-extra-call-probability", "kv-cache-size", "hash-seed", "global-cache-hit-threshold", "zmq-endpoint",
    "event-batch-size", "kv-events-replay-endpoint", "kv-events-replay-queue-size", "failure-injection-rate",
    "fake-metrics", "fake-metrics-refresh-interval", "dataset-path", "dataset-url", "dataset-table-name",
    "render-url", "render-timeout", "mm-render-timeout", "default-embedding-dimensions", "image-emission-rate",
    "tokenizers-cache-dir", "v",
])  # fmt: skip
_NONE: Final = frozenset([
    "skip-tool-validation", "enable-kvcache", "use-vllm-map-event-format", "dataset-in-memory",
    "force-dummy-tokenizer", "self-signed-certs", "log-http", "mm-encoder-only", "omni", "enable-fault-tolerance",
])  # fmt: skip
_ALL: Final = frozenset(["failure-types"])


def program_of(container: Container, environment: Mapping[str, str]) -> Program | None:
    """What it runs; None for a program that the table does not know."""
    command = tuple(expanded(word, environment) for word in container.command)
    arguments = tuple(expanded(word, environment) for word in container.args)
    for words in _commands((*command, *arguments), environment):
        found = _by_entry_point(words)
        if found is not None:
            return found
    role = None if command else role_of(container.image)
    if role is None:
        return None
    if role is Role.MODEL_SERVER and arguments[:1] == ("serve",):
        arguments = arguments[1:]
    return Program(role, _known(arguments))


def role_of(image: str) -> Role | None:
    """What an image is, by its name."""
    repository = image.partition("@")[0]
    folder, slash, name = repository.rpartition("/")
    repository = f"{folder}{slash}{name.partition(':')[0]}"
    return next((role for pattern, role in _IMAGES if re.fullmatch(pattern, repository)), None)


def _by_entry_point(words: Sequence[str]) -> Program | None:
    for patterns, role in _ENTRY_POINTS:
        head = [PurePosixPath(words[0]).name, *words[1:]][: len(patterns)] if words else []
        if len(head) == len(patterns) and all(map(re.fullmatch, patterns, head)):
            return Program(role, _known(words[len(patterns) :]))
    return None


def _commands(words: Sequence[str], environment: Mapping[str, str]) -> Iterator[Sequence[str]]:
    """The command line itself, or the commands of a shell's script."""
    is_shell = bool(words) and PurePosixPath(words[0]).name in _SHELLS
    scripts = [words[index + 1] for index, word in enumerate(words[:-1]) if re.fullmatch(r"-[a-z]*c", word)]
    if not is_shell or not scripts:
        yield words
        return
    script = string.Template(scripts[0].replace("\\\n", " ")).safe_substitute(environment)
    command: list[str] = []
    for word in _tokens(script):
        if set(word) <= _BETWEEN_COMMANDS:
            yield _bare(command)
            command = []
        else:
            command.append(word)
    yield _bare(command)


def _tokens(script: str) -> Iterator[str]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";&|()\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    try:
        yield from lexer
    except ValueError:  # an open quote: what came before it counts
        return


def _bare(command: Sequence[str]) -> Sequence[str]:
    """Without what stands before a program: variables, and words that start it otherwise."""
    start = 0
    while start < len(command) and (_ASSIGNMENT.fullmatch(command[start]) or command[start] in _PREFIXES):
        start += 1
    return command[start:]


def _known(arguments: Sequence[str]) -> tuple[str, ...]:
    """Without another simulator's options."""
    kept, rest = [], [*arguments]
    while rest:
        word = rest.pop(0)
        name = word.lstrip("-").partition("=")[0]
        if not word.startswith("-") or name not in _ONE | _NONE | _ALL:
            kept.append(word)
        elif "=" not in word and name in _ONE:
            del rest[:1]
        elif "=" not in word and name in _ALL:
            while rest and not rest[0].startswith("--"):
                del rest[0]
    return tuple(kept)
