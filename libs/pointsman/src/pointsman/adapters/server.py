"""One model server's adapters over HTTP: listed, loaded, unloaded. I/O."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pointsman.adapters.config import Adapter
from pointsman.adapters.steps import Served

LIST_SECONDS: Final = 5.0
LOAD_SECONDS: Final = 300.0  # an adapter may have to be downloaded
ANSWER_LIMIT: Final = 4 * 1024 * 1024
_MESSAGE_LIMIT: Final = 300  # characters of an error that are shown


class DownError(Exception):
    """The server does not answer."""


class RefusedError(Exception):
    """The server answers, and with an error."""


@dataclass(frozen=True, slots=True)
class Server:
    """A base URL, and the key that the server wants."""

    url: str
    api_key: str | None = None

    def served(self) -> tuple[Served, ...]:
        """Its model list."""
        try:
            items = json.loads(self._call("/v1/models", None, LIST_SECONDS))["data"]
            return tuple(Served(str(item["id"]), item.get("root") or "", item.get("parent") or "") for item in items)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RefusedError(f"{self.url}/v1/models is no model list: is this vLLM?") from None

    def load(self, adapter: Adapter) -> None:
        """Load it; the server downloads what `source` names if it has to."""
        body = {"lora_name": adapter.id, "lora_path": adapter.source}
        if adapter.base_model:
            body["base_model_name"] = adapter.base_model
        self._call("/v1/load_lora_adapter", body, LOAD_SECONDS)

    def unload(self, name: str) -> None:
        """Unload it. One that is not there is what was wanted."""
        try:
            self._call("/v1/unload_lora_adapter", {"lora_name": name}, LOAD_SECONDS)
        except RefusedError as error:
            if not str(error).startswith("404"):
                raise

    def _call(self, path: str, body: Mapping[str, str] | None, seconds: float) -> bytes:
        headers = {"content-type": "application/json"} if body is not None else {}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}{path}", data, headers)  # noqa: S310 - checked on the command line
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
                found: bytes = answer.read(ANSWER_LIMIT)
        except urllib.error.HTTPError as error:
            raise RefusedError(f"{error.code}: {_message(error.read(ANSWER_LIMIT))}") from None
        except urllib.error.URLError as error:
            raise DownError(str(getattr(error.reason, "strerror", None) or error.reason)) from None
        except (OSError, http.client.HTTPException) as error:
            raise DownError(str(error) or type(error).__name__) from None
        return found


def _message(body: bytes) -> str:
    """What an error says, in OpenAI's shape, vLLM's older one, or as text."""
    try:
        found = json.loads(body)
        text = found["error"]["message"] if "error" in found else found["message"]
    except (ValueError, KeyError, TypeError):
        text = body.decode(errors="replace")
    return " ".join(str(text).split())[:_MESSAGE_LIMIT] or "no reason"
