"""The command line: every command has examples and JSON, and shells complete its words."""

import argparse
import subprocess

import pytest

from pointsman.catalogue import COMMANDS, PROGRAMS
from pointsman.command_line import arguments, parser
from pointsman.commands.completion import SHELLS, bash, fish, words_of

NAMES = ["up", "completion", *(command.name for command in COMMANDS)]


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_examples_of_itself_and_json(name: str) -> None:
    (words,) = (each for each in words_of(parser()) if each.name == name)

    assert f"pointsman {name}" in commands()[name].format_help().partition("examples:\n")[2]
    assert "--json" in words.options


def test_a_command_that_is_unknown_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["sideways"])

    assert ended.value.code == 2
    assert "invalid choice: 'sideways'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["top"], ["compare", "--route", "r"], ["adapters", "sync", "--config", "c"]],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon"])
def test_an_interval_out_of_bounds_is_named_with_them(
    words: list[str], interval: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments([*words, f"--interval={interval}"])

    assert ended.value.code == 2
    assert f"seconds, got '{interval}'" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["st"], ["status"]),
        (["status", "--js"], ["--json"]),
        (["up", "--back"], ["--backend"]),
        (["completion", "f"], ["fish"]),
        (["up", "--stop"], []),
    ],
)
def test_bash_completes_commands_and_options(typed: list[str], completed: list[str]) -> None:
    words = " ".join(f"'{word}'" for word in ("pointsman", *typed))
    script = bash(words_of(parser()))
    ask = f'COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _pointsman; printf "%s\\n" "${{COMPREPLY[@]}}"'

    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)

    assert done.stdout.split() == completed


def test_fish_gets_what_each_word_is_for() -> None:
    script = fish(words_of(parser()))

    assert "-a status -d 'what became of the manifests of a running gateway'" in script
    assert "-n '__fish_seen_subcommand_from down' -l json" in script
    assert {*SHELLS} == {"bash", "zsh", "fish"}


def test_programs_with_command_lines_of_their_own_are_listed() -> None:
    assert {program.name for program in PROGRAMS} <= commands().keys()
