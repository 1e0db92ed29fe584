"""The models of a server: the base model under its names, and adapters. One owner: the simulator."""

from collections.abc import Iterable, Mapping
from typing import Any

from model_sim.api import fields
from model_sim.api.calls import ServedModel
from model_sim.api.errors import ApiError
from model_sim.replica.settings import LoraModule, Settings

MAX_ADAPTERS = 4096
"""Adapters are loaded by clients: an endless loop of theirs must not fill memory."""


class ModelRegistry:
    """Aliases are fixed, adapters come and go."""

    def __init__(self, settings: Settings, created: int) -> None:
        self._settings = settings
        self._created = created
        self._adapters: dict[str, LoraModule] = {module.name: module for module in settings.lora_modules}

    @property
    def adapters(self) -> Mapping[str, LoraModule]:
        return self._adapters

    def find(self, name: object) -> ServedModel:
        """The served model of a request; 404 for a name nobody serves. No name means the base model."""
        settings = self._settings
        if name is None or name in settings.model_names:
            return self._served(settings.displayed_model if name is None else str(name), None)
        if isinstance(name, str) and name in self._adapters:
            return self._served(name, name)
        if not isinstance(name, str):
            raise fields.wrong("model", "a string", name)
        raise ApiError(f"The model `{name[:200]}` does not exist.", status=404, param="model")

    def _served(self, name: str, adapter: str | None) -> ServedModel:
        settings = self._settings
        return ServedModel(
            name=name,
            adapter=adapter,
            max_model_len=settings.max_model_len,
            usage_in_streams=settings.force_include_usage,
            prompt_tokens_details=settings.prompt_tokens_details,
        )

    def load(self, module: LoraModule) -> None:
        """Serve an adapter under its name."""
        self._adapters[module.name] = module

    def check_load(self, module: LoraModule, *, in_place: bool) -> None:
        """Refuse what vLLM refuses to load."""
        if not module.name or not module.path:
            raise ApiError("Both 'lora_name' and 'lora_path' must be provided.", kind="InvalidUserInput")
        if module.name in self._adapters and not in_place:
            raise ApiError(
                f"The lora adapter '{module.name}' has already been loaded. If you want to load the adapter in place, "
                "set 'load_inplace' to True.",
                kind="InvalidUserInput",
            )
        if module.name in self._settings.model_names:
            raise ApiError(f"'{module.name}' is the name of the base model.", kind="InvalidUserInput")
        if len(self._adapters) >= MAX_ADAPTERS:
            raise ApiError(f"No more than {MAX_ADAPTERS} adapters can be loaded.", kind="InvalidUserInput")

    def unload(self, name: str) -> None:
        """Forget an adapter; requests that named it go on."""
        if not name:
            raise ApiError("'lora_name' needs to be provided to unload a LoRA adapter.", kind="InvalidUserInput")
        if name not in self._adapters:
            raise ApiError(f"The lora adapter '{name[:200]}' cannot be found.", status=404, kind="NotFoundError")
        del self._adapters[name]

    def listing(self) -> dict[str, Any]:
        """`GET /v1/models`: aliases, then adapters."""
        settings = self._settings
        base: Iterable[dict[str, Any]] = (
            self._card(name, settings.model, None, settings.max_model_len) for name in settings.model_names
        )
        adapters = (
            self._card(
                module.name, module.path or module.name, module.base_model_name or settings.displayed_model, None
            )
            for module in self._adapters.values()
        )
        return {"object": "list", "data": [*base, *adapters]}

    def _card(self, name: str, root: str, parent: str | None, max_model_len: int | None) -> dict[str, Any]:
        permission = {
            "id": f"modelperm-{self._created:x}",
            "object": "model_permission",
            "created": self._created,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "vllm",
            "root": root,
            "parent": parent,
            "max_model_len": max_model_len,
            "permission": [permission],
        }
