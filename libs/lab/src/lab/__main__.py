"""`pointsman lab SOURCE …`: a study, its table on the terminal, its report as a page. What cannot be done is 2."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import running, searching
from lab.command_line import Task, UsageError, arguments, study_of
from lab.report.document import document_of
from lab.report.page import page_of
from lab.report.report import Report
from lab.report.table import text_of
from lab.searching import Search
from lab.study.answer import rows_of
from lab.study.statistics import Verdict

CANNOT = 2
PROPOSAL = Path("lab-proposal.yaml")
INTERRUPTED = 130  # as a shell has it


def main(argv: Sequence[str] | None = None) -> None:
    """Console script."""
    given = arguments(sys.argv[1:] if argv is None else argv)
    try:
        task = study_of(given)
        _check_outputs(task)
        report = _report(task) if task.search is None else _searched(task, task.search)
        written = _write(task, report)
        print(text_of(report), *(f"{file} was written" for file in written), sep="\n")
    except UsageError as error:
        print(f"pointsman lab: {error}", file=sys.stderr)
        sys.exit(CANNOT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the table has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(task: Task) -> Report:
    results = running.run(task.study, task.jobs, sys.stderr)
    return Report(task.title, task.notes, task.study, rows_of(task.study, results), task.is_relative)


def _searched(task: Task, search: Search) -> Report:
    """The proposal against what there is, on seeds that had no part in the search."""
    proposal = searching.propose(task.study, search, task.jobs, sys.stderr)
    rows = rows_of(proposal.study, running.run(proposal.study, task.jobs, sys.stderr))
    notes, base = [*task.notes, *proposal.notes], proposal.study.contenders[0].name
    if proposal.best is not None and rows[1].differences[search.figure.name].verdict is Verdict.BETTER:
        _write_text(PROPOSAL, proposal.best.text or "")
        notes.append(f"take the proposal, {PROPOSAL}: it is better than {base} on seeds that had no part in the search")
    else:
        notes.append(f"keep {base}: nothing was found that is better on seeds that had no part in the search")
    return Report(task.title, notes, proposal.study, rows, task.is_relative)


def _check_outputs(task: Task) -> None:
    """Before minutes of work."""
    for file in (task.page, task.json):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise UsageError(f"{file}: not a file in a folder that exists")


def _write(task: Task, report: Report) -> list[Path]:
    texts: list[tuple[Path, str]] = [(task.page, page_of(report))]
    if task.json is not None:
        texts.append((task.json, json.dumps(document_of(report), indent=1, allow_nan=False) + "\n"))
    for file, text in texts:
        _write_text(file, text)
    return [file for file, _ in texts]


def _write_text(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
