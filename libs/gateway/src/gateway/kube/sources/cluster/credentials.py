"""How a process speaks to its API server: the service account of its Pod, or a kubeconfig.

Shell: files are read when they are needed, a token with every request, for it is renewed while the process runs.
"""

import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from gateway.schema.fields import Fields
from gateway.schema.problems import Findings, Origin, ProblemsError
from gateway.schema.values import Value
from gateway.schema.yamltext import parse

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_NAMED: Final = 1000  # clusters, users and contexts of a kubeconfig


class CredentialsError(Exception):
    """There is no way to an API server; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate or key: in a file, or written where it is named."""

    file: Path | None = None
    data: bytes = field(default=b"", repr=False)

    def __bool__(self) -> bool:
        return self.file is not None or bool(self.data)

    def read(self) -> bytes:
        return self.file.read_bytes() if self.file is not None else self.data


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of one API server. Without an authority the system's are trusted."""

    server: str
    authority: Pem = field(default_factory=Pem)
    certificate: Pem = field(default_factory=Pem)
    key: Pem = field(default_factory=Pem)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    server_name: str | None = None  # that the server's certificate must have, where it is not the address
    is_verified: bool = True

    def headers(self) -> Mapping[str, str]:
        """For one request. Raises OSError where the token cannot be read."""
        token = self.token_file.read_text().strip() if self.token_file is not None else self.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def tls(self) -> ssl.SSLContext:
        """Raises OSError (`ssl.SSLError` is one) for files that are missing or no certificates."""
        authority = self.authority.read().decode("ascii", errors="replace") if self.authority else None
        context = ssl.create_default_context(cadata=authority)
        if not self.is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            with tempfile.NamedTemporaryFile() as file:  # the library takes files only
                file.write(self.certificate.read() + b"\n" + self.key.read())
                file.flush()
                context.load_cert_chain(file.name)
        return context


def is_in_pod(environment: Mapping[str, str]) -> bool:
    """Whether the process runs in a Pod with a service account."""
    return "KUBERNETES_SERVICE_HOST" in environment and (SERVICE_ACCOUNT / "token").exists()


def in_cluster(environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Credentials:
    """Of the Pod's service account."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise CredentialsError("no API server: give --kubeconfig, or run in a Pod with a service account")
    address = f"[{host}]" if ":" in host else host
    return Credentials(f"https://{address}:{port}", Pem(account / "ca.crt"), token_file=account / "token")


def from_kubeconfig(file: Path) -> Credentials:
    """Of the current context. Credential plugins (`exec`) are not run."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _read(text, file)
    except ProblemsError as error:
        raise CredentialsError(str(error)) from None


def _read(text: str, file: Path) -> Credentials:
    findings = Findings()
    documents = list(parse(text, str(file), findings))
    data, marks = (documents[0].data, documents[0].marks) if documents else ({}, {})
    top = Fields(Value(data, "", Origin(str(file), marks), findings))
    context = _named(top, "contexts", "context", top.text("current-context", required=True))
    cluster = _named(top, "clusters", "cluster", context.text("cluster", required=True) if context else "")
    user = _named(top, "users", "user", context.text("user") if context else "")
    found = _credentials(cluster, user, file.parent) if cluster else None
    if findings.problems or found is None:
        raise ProblemsError(findings.problems)
    return found


def _credentials(cluster: Fields, user: Fields | None, folder: Path) -> Credentials:
    server = cluster.text("server", required=True)
    if not server.startswith(("https://", "http://")):
        cluster.problem("server", f"expected https://HOST:PORT, got {server!r}")
    found = Credentials(
        server.rstrip("/"),
        _pem(cluster, "certificate-authority", folder),
        server_name=cluster.text("tls-server-name") or None,
        is_verified=not cluster.boolean("insecure-skip-tls-verify", default=False),
    )
    if user is None:
        return found
    for key in ("exec", "auth-provider"):
        if user.has(key):
            user.problem(key, "credential plugins are not run: use a token or a client certificate")
    token_file = user.text("tokenFile")
    return replace(
        found,
        certificate=_pem(user, "client-certificate", folder),
        key=_pem(user, "client-key", folder),
        token=user.text("token", longest=1 << 16),
        token_file=folder / token_file if token_file else None,
    )


def _pem(fields: Fields, key: str, folder: Path) -> Pem:
    written, named = fields.text(f"{key}-data", longest=1 << 20), fields.text(key)
    if written:
        try:
            return Pem(data=base64.b64decode(written, validate=True))
        except binascii.Error:
            fields.problem(f"{key}-data", "not base64")
            return Pem()
    return Pem(folder / named) if named else Pem()


def _named(top: Fields, key: str, inner: str, name: str) -> Fields | None:
    """What stands under a name in one of the lists."""
    if not name:
        return None
    for item in top.children(key, MAX_NAMED):
        if item.text("name") == name:
            return item.child(inner, required=True)
    top.problem(key, f"none is called {name!r}")
    return None
