"""Every command beside `up`, in the order in which `--help` lists them."""

from typing import Final

from pointsman.adapters.sync import ADAPTERS
from pointsman.commands.command import Command, Program
from pointsman.commands.keys import KEYS
from pointsman.commands.manifests import MANIFESTS
from pointsman.commands.running import RUNNING
from pointsman.compare.compare import COMPARE
from pointsman.top.watch import TOP

COMMANDS: Final[tuple[Command, ...]] = (*RUNNING, TOP, COMPARE, KEYS, *MANIFESTS, ADAPTERS)
PROGRAMS: Final[tuple[Program, ...]] = (
    Program("lab", "compare configurations with your own traffic, in virtual time", "pointsman-lab"),
)
