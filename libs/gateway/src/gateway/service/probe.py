"""`python -m gateway.service.probe http://127.0.0.1:9090/readyz`: a container's health check; images carry no curl.

Exits 0 on 200, 1 on anything else. It imports as little as it can: it runs every few seconds.
"""

import http.client
import sys

_TIMEOUT_SECONDS = 2.0


def main(url: str) -> int:
    """Ask once."""
    address, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/{path}")
        return 0 if connection.getresponse().status == http.HTTPStatus.OK else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
