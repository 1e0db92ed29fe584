"""Entry point: `model-sim serve MODEL …`, `model-sim fleet …`; `model-sim check MODEL …` reads the options of `serve`.

It parses, serves, and never does anything else.
"""

import os
import sys
from dataclasses import replace

from gateway.service import logs
from model_sim.command_line import parsing
from model_sim.command_line.parsing import Fleet
from model_sim.command_line.values import UsageError
from model_sim.replica.settings import Settings
from model_sim.server import runtime


def main() -> None:
    """Parse and serve; an error at the start is one line and exit status 2."""
    try:
        if sys.argv[1:2] == ["check"]:
            parsing.parse(["serve", *sys.argv[2:]], os.environ)
            return
        parsed = parsing.parse(sys.argv[1:], os.environ)
        all_settings = _all(parsed)
        logs.configure("model-sim", all_settings[0].log_level)
        runtime.run(all_settings)
    except (UsageError, runtime.StartError) as error:
        print(f"model-sim: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _all(parsed: Settings | Fleet) -> list[Settings]:
    if isinstance(parsed, Settings):
        return [parsed]
    base = parsed.settings
    return [
        replace(base, port=parsed.base_port + index, pod_name=f"{base.pod_name}-{index}", seed=base.seed + index)
        for index in range(parsed.size)
    ]


if __name__ == "__main__":
    main()
