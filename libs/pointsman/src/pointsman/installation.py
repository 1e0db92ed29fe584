"""Where the parts of the stack are: beside the repository's checkout, or in an installed wheel."""

import sys
from pathlib import Path
from typing import Final

# Files that a stack starts from, as the wheel carries them.
_DATA: Final = Path(__file__).parent / "data"


def root() -> Path:
    """The folder that has `config`, `envoy` and `requirements`."""
    checkout = Path(__file__).resolve().parents[4]
    return checkout if (checkout / "envoy" / "bootstrap.yaml").is_file() else _DATA


def binaries() -> Path:
    """Where the services' commands are: beside this interpreter."""
    return Path(sys.executable).parent
