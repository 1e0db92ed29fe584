"""An echo server: `python -m pointsman.cluster.echo HOST PORT`. It answers GET and HEAD with what it was asked.

The answer has the keys of the Gateway API's echo image; who answers is in the variables that its manifests set.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gateway.wire import protocol


def answer_of(
    path: str, method: str, version: str, headers: Mapping[str, Sequence[str]], own: Mapping[str, str]
) -> bytes:
    """The body for a request. Headers are by name in the usual spelling, all values of each."""
    return json.dumps(
        {
            "path": path,
            "host": next(iter(headers.get("Host", ())), ""),
            "method": method,
            "proto": version,
            "headers": {name: [*values] for name, values in headers.items() if name != "Host"},
            "namespace": own.get("NAMESPACE", ""),
            "ingress": own.get("INGRESS_NAME", ""),
            "service": own.get("SERVICE_NAME", ""),
            "pod": own.get("POD_NAME", ""),
        },
        indent=1,
    ).encode()


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 900.0  # as long as the gateway keeps a connection that nobody uses

    def do_GET(self) -> None:
        names = dict.fromkeys(name.title() for name in self.headers)
        headers = {name: self.headers.get_all(name, []) for name in names}
        body = answer_of(self.path, self.command, self.request_version, headers, os.environ)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header(protocol.INFERENCE_POD, os.environ.get("POD_NAME", ""))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """A request is no news."""


def main(arguments: Sequence[str]) -> None:
    """Serve until a signal."""
    host, port = arguments
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ThreadingHTTPServer((host, int(port)), _Echo) as server:
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
