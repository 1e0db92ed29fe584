"""Self-signed certificates for tests, as openssl makes them."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import required


def self_signed(folder: Path, name: str, serial: int = 1) -> tuple[Path, Path]:
    """The files of a certificate for a host name and of its key."""
    binary = shutil.which("openssl")
    required("openssl", binary, install="apt-get install openssl")
    key, chain = folder / f"{serial}.key", folder / f"{serial}.crt"
    subprocess.run(
        [
            *(str(binary), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(chain), "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName=DNS:{name}", "-set_serial", str(serial)),
        ],
        check=True,
        capture_output=True,
    )
    return chain, key
