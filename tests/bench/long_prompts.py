"""`make bench-long-prompts`: prompts of 220 KB, each different, by 20, 60, 100 and 150 clients at once.

The loads of a public report in which a picker stops at 130 requests a second. The rows of `make bench-gateway` that
matter here: what other gateways do (duplex), what `--picker ext_proc` and `--picker http` render. Servers answer at
once, so the figures are those of Envoy and the picker. Writes build/bench/long_prompts.json.
"""

import sys

from tests.bench.gateway.__main__ import main

ROWS = ("plain", "duplex", "ext_proc", "http+model")
COLUMNS = ("11", "12", "5", "13")

if __name__ == "__main__":
    main(["--rows", *ROWS, "--columns", *COLUMNS, "--rounds", "2", *sys.argv[1:]], "long_prompts")
