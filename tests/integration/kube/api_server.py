"""A small API server over real sockets: lists in pages, watches with bookmarks, and errors as they are ordered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

Object = dict[str, Any]

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: u, user: {{tokenFile: token}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
"""


class ApiServer:
    """Objects by the path of their resource. `refusals` are statuses by path, `token` the only one that is taken."""

    def __init__(self) -> None:
        self.version = 100
        self.token = ""
        self.refusals: dict[str, int] = {}
        self.garbled: set[str] = set()  # paths at which something else answers
        self.applied: list[tuple[str, dict[str, str], Object]] = []
        self.meanwhile: Callable[[], None] | None = None  # happens once, between a reading of an object and its writing
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._objects: dict[str, dict[str, Object]] = {}
        self._log: dict[str, list[tuple[int, Object]]] = {}
        self._watchers: dict[str, set[asyncio.Queue[Object | None]]] = {}

    def install(self, *paths: str) -> None:
        for path in paths:
            self._objects.setdefault(path, {})

    def put(self, path: str, name: str, **fields: object) -> None:
        """Add or change an object; sent to what watches it."""
        self.version += 1
        metadata = {"name": name, "namespace": "models", "resourceVersion": str(self.version)}
        given = fields.pop("metadata", {})
        found = {"metadata": {**(given if isinstance(given, dict) else {}), **metadata}, **fields}
        self.install(path)
        type_ = "MODIFIED" if name in self._objects[path] else "ADDED"
        self._objects[path][name] = found
        self.send(path, {"type": type_, "object": found})

    def object(self, path: str, name: str) -> dict[str, Any]:
        return self._objects[path][name]

    def delete(self, path: str, name: str) -> None:
        self.version += 1
        found = self._objects[path].pop(name)
        found["metadata"]["resourceVersion"] = str(self.version)
        self.send(path, {"type": "DELETED", "object": found})

    def bookmark(self, path: str) -> None:
        self.version += 1
        self.send(path, {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.version)}}})

    def send(self, path: str, event: Object | None) -> None:
        """To every watch of a path, also one that goes on from before; None ends them."""
        if event is not None and event["type"] != "ERROR":
            self._log.setdefault(path, []).append((self.version, event))
        for watcher in self._watchers.get(path, ()):
            watcher.put_nowait(event)

    def watches(self, path: str) -> int:
        return len(self._watchers.get(path, ()))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path, query = request.path, dict(request.query)
        self.requests.append((path, query))
        if request.headers.get("Authorization") != (f"Bearer {self.token}" if self.token else "Bearer first"):
            return refusal(401)
        if path in self.refusals:
            return refusal(self.refusals[path])
        if path in self.garbled:
            return web.Response(text="<html>", content_type="text/html")
        if request.method == "POST":
            return await self._create(request)
        if path not in self._objects:
            return await self._one(request)
        return await self._watch(request) if query.get("watch") else self._list(path, query)

    async def _create(self, request: web.Request) -> web.Response:
        """Make an object that is not there."""
        body = await request.json()
        name = body["metadata"]["name"]
        if name in self._objects.get(request.path, {}):
            return refusal(409)
        self.applied.append((request.path, dict(request.query), body))
        self.put(request.path, name, **body)
        return web.json_response(self._objects[request.path][name], status=201)

    async def _one(self, request: web.Request) -> web.Response:
        """Read an object, apply it, or its status alone, under the version that was read if there is one; delete it."""
        folder, _, name = request.path.removesuffix("/status").rpartition("/")
        found = self._objects.get(folder, {}).get(name)
        if found is None and request.method == "PATCH" and not request.path.endswith("/status"):
            found = {"metadata": {}}
        if found is None:
            return refusal(404)
        if request.method == "DELETE":
            if (await request.json())["preconditions"]["uid"] != found["metadata"].get("uid"):
                return refusal(409)
            self.delete(folder, name)
            return web.json_response({"kind": "Status"})
        if request.method == "GET":
            if self.meanwhile is not None:
                change, self.meanwhile = self.meanwhile, None
                response = web.json_response(found)
                change()
                return response
            return web.json_response(found)
        body = await request.json()
        self.applied.append((request.path, dict(request.query), body))
        version = body["metadata"].get("resourceVersion")
        if version not in (None, found["metadata"].get("resourceVersion")):
            return refusal(409)
        changed = {"status": body["status"]} if request.path.endswith("/status") else body
        made = {**found, **changed, "metadata": {**found["metadata"], **body["metadata"]}}
        if {**made, "metadata": {**made["metadata"], "resourceVersion": ""}} != {
            **found,
            "metadata": {**found["metadata"], "resourceVersion": ""},
        }:
            self.put(folder, name, **made)
        return web.json_response(self._objects[folder][name])

    def _list(self, path: str, query: dict[str, str]) -> web.Response:
        names = sorted(self._objects[path])
        begin, limit = int(query.get("continue") or 0), int(query["limit"])
        metadata = {"resourceVersion": str(self.version)}
        if begin + limit < len(names):
            metadata["continue"] = str(begin + limit)
        items = [self._objects[path][name] for name in names[begin : begin + limit]]
        return web.json_response({"kind": "List", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        events: asyncio.Queue[Object | None] = asyncio.Queue()
        watchers = self._watchers.setdefault(request.path, set())
        watchers.add(events)
        since = int(request.query["resourceVersion"])
        for event in [event for version, event in self._log.get(request.path, ()) if version > since]:
            events.put_nowait(event)
        try:
            with suppress(ConnectionResetError):
                while (found := await events.get()) is not None:
                    await response.write(json.dumps(found).encode() + b"\n")
        finally:
            watchers.discard(events)
        return response


def refusal(status: int) -> web.Response:
    return web.json_response({"kind": "Status", "code": status, "message": f"refused with {status}"}, status=status)


@asynccontextmanager
async def serving(server: ApiServer, folder: Path, port: int = 0) -> AsyncIterator[tuple[Path, int]]:
    """A kubeconfig for it, whose token is in the file `token` beside it, and its port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        at = runner.addresses[0][1]
        (folder / "config").write_text(KUBECONFIG.format(port=at))
        token = folder / "token"
        if not token.exists():
            token.write_text("first")
        yield folder / "config", at
    finally:
        await runner.cleanup()
