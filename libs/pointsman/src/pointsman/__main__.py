"""`pointsman COMMAND …`. What cannot start ends with 2, leaving nothing."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Final

from pointsman.catalogue import PROGRAMS
from pointsman.command_line import arguments, parser
from pointsman.commands.command import UNABLE, become
from pointsman.commands.completion import SHELLS, words_of
from pointsman.up import up
from processes.preflight import StartError

INTERRUPTED: Final = 130  # as a shell has it


def main(argv: Sequence[str] | None = None) -> None:
    """Console script."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    program = next((each.program for each in PROGRAMS if words[:1] == [each.name]), None)
    if program is not None:
        become(program, *words[1:])
    given = arguments(words)
    try:
        sys.exit(_status(given, words))
    except KeyboardInterrupt:  # before the stack runs; from then on the runner ends it in order
        sys.exit(INTERRUPTED)
    except StartError as reason:
        if given.json:
            print(json.dumps({"problems": str(reason).splitlines()}))
        print(f"cannot start:\n{reason}", file=sys.stderr)
        sys.exit(UNABLE)


def _status(given: Namespace, words: Sequence[str]) -> int:
    if given.command == "up":
        return up(given, (sys.executable, "-m", "pointsman", *words))
    if given.command == "completion":
        script = SHELLS[given.shell](words_of(parser()))
        sys.stdout.write(f"{json.dumps({'script': script})}\n" if given.json else script)
        return 0
    status: int = given.run(given)
    return status


if __name__ == "__main__":
    main()
