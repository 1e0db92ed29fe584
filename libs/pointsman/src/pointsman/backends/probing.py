"""Asks model servers for their models and metrics, all at once. I/O, for the command's start only."""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from pointsman.backends.server import InvalidBackendError, Models, Server, models_of

TIMEOUT_SECONDS: Final = 5.0
# A model list of thousands of adapters is a megabyte; something that is larger is no model list.
ANSWER_LIMIT: Final = 4 * 1024 * 1024
_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Found:
    """Servers that answered, and why the others did not. Servers without metrics are picked without their queues."""

    models: Mapping[Server, Models]
    down: Mapping[Server, str]
    without_metrics: tuple[Server, ...] = ()


def probe(servers: Sequence[Server], api_key: str | None) -> Found:
    """Try each. A server that answers with something else than a model list is an `InvalidBackendError`."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = [*threads.map(lambda server: _models(server, api_key), servers)]
        up = [server for server, answer in zip(servers, answers, strict=True) if isinstance(answer, Models)]
        measured = [*threads.map(_has_metrics, up)]
    pairs = [*zip(servers, answers, strict=True)]
    return Found(
        {server: answer for server, answer in pairs if isinstance(answer, Models)},
        {server: answer for server, answer in pairs if isinstance(answer, str)},
        tuple(server for server, has_metrics in zip(up, measured, strict=True) if not has_metrics),
    )


def _models(server: Server, api_key: str | None) -> Models | str:
    """Its models, or why it cannot be reached."""
    try:
        return models_of(server, _get(f"{server.url}/v1/models", api_key))
    except urllib.error.HTTPError as error:
        raise InvalidBackendError(_refused(server, error.code, has_key=api_key is not None)) from None
    except ssl.SSLError as error:
        raise InvalidBackendError(_without_tls(server, error)) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            raise InvalidBackendError(_without_tls(server, error.reason)) from None
        return str(getattr(error.reason, "strerror", None) or error.reason)
    except OSError as error:  # the server went away while it answered
        return error.strerror or str(error) or type(error).__name__
    except (http.client.HTTPException, ValueError):
        raise InvalidBackendError(f"{server.url} speaks no HTTP: is the port right?") from None


def _without_tls(server: Server, error: ssl.SSLError) -> str:
    is_untrusted = isinstance(error, ssl.SSLCertVerificationError)
    remedy = "name its CA's file in SSL_CERT_FILE" if is_untrusted else "if it speaks none, give http://"
    return f"{server.url}: TLS failed: {error.reason or error}: {remedy}"


def _refused(server: Server, status: int, *, has_key: bool) -> str:
    if status in (401, 403):
        remedy = "the key is not accepted" if has_key else "it wants a key: give its variable with --api-key-env NAME"
        return f"{server.url}/v1/models answers {status}: {remedy}"
    return f"{server.url}/v1/models answers {status}: is this vLLM, or another server with OpenAI's API?"


def _has_metrics(server: Server) -> bool:
    try:
        return b"vllm:" in _get(f"{server.url}/metrics", None)
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _get(url: str, api_key: str | None) -> bytes:
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http or https, checked
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        body: bytes = response.read(ANSWER_LIMIT)
    return body
