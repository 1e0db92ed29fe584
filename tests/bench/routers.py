"""`make bench-routers`: what routing by body and picking add to a request, in each way of deploying the router.

100 requests a second of 4 KB: a plain Envoy, the router as a process of its own (ext_proc), in the picker's (fused),
and lifted by Envoy itself (http+model). Writes build/bench/routers.json.
"""

import sys

from tests.bench.gateway.__main__ import main

ROWS = ("plain", "ext_proc", "ext_proc fused", "http+model")

if __name__ == "__main__":
    main(["--rows", *ROWS, "--columns", "9", *sys.argv[1:]], "routers")
