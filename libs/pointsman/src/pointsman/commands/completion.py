"""`pointsman completion bash|zsh|fish`: a script for the shell, made of the command line itself. Pure."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """The options of one command, with what each is for, and the choices of its arguments."""

    name: str
    summary: str
    options: Mapping[str, str]
    choices: Sequence[str]


def words_of(parser: argparse.ArgumentParser) -> tuple[Words, ...]:
    """Every command of a command line."""
    found = []
    for action in parser._actions:  # noqa: SLF001 - argparse shows its declarations nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            summaries = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001
            found += [_words(name, summaries.get(name, ""), each) for name, each in action.choices.items()]
    return tuple(found)


def _words(name: str, summary: str, parser: argparse.ArgumentParser) -> Words:
    actions = [each for each in parser._actions if each.help != argparse.SUPPRESS]  # noqa: SLF001
    options = {option: each.help or "" for each in actions for option in each.option_strings if option.startswith("--")}
    choices = [str(choice) for each in actions if not each.option_strings for choice in each.choices or ()]
    for nested in words_of(parser):
        options |= nested.options
    return Words(name, summary, options, choices)


def bash(commands: Sequence[Words]) -> str:
    """Commands first, then the options of the one that is typed, and files."""
    cases = "".join(
        f"    {each.name}) words='{' '.join((*each.options, *each.choices))}' ;;\n" for each in commands
    )  # fmt: skip
    names = " ".join(each.name for each in commands)
    return (
        "_pointsman() {\n"
        '  local word="${COMP_WORDS[COMP_CWORD]}" words=""\n'
        '  case "${COMP_WORDS[1]}" in\n'
        f"{cases}"
        "  esac\n"
        f"  if [ \"$COMP_CWORD\" -eq 1 ]; then words='{names} --help'; fi\n"
        '  COMPREPLY=($(compgen -W "$words" -- "$word"))\n'
        "}\n"
        "complete -o default -F _pointsman pointsman\n"
    )


def zsh(commands: Sequence[Words]) -> str:
    """Bash's, which zsh understands."""
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash(commands)}"


def fish(commands: Sequence[Words]) -> str:
    """A line for each word, with what it is for."""
    lines = [
        f"complete -c pointsman -n __fish_use_subcommand -f -a {each.name} -d {_quoted(each.summary)}"
        for each in commands
    ]
    for each in commands:
        condition = f"-n '__fish_seen_subcommand_from {each.name}'"
        lines += [f"complete -c pointsman {condition} -l {option[2:]} -d {_quoted(words)}"
                  for option, words in each.options.items()]  # fmt: skip
        lines += [f"complete -c pointsman {condition} -a {choice}" for choice in each.choices]
    return "\n".join((*lines, ""))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS: Final[Mapping[str, Callable[[Sequence[Words]], str]]] = MappingProxyType(
    {"bash": bash, "zsh": zsh, "fish": fish}
)
