"""What is announced to programs."""

import json
from pathlib import Path

from pointsman import banner
from processes.plan import Layout, Ports, Settings

LAYOUT = Layout(root=Path("/checkout"), run=Path("/run"), envoy=Path("/envoy"), binaries=Path("/bin"))


def test_one_line_of_json_says_where_everything_is() -> None:
    settings = Settings(Ports(), LAYOUT, (Path("/a"),), Path("/e.yaml"), listeners=((80, 8080), (443, 8443)))

    line = banner.as_json(settings, "pointsman down", ["Deployment d: 1 simulator"], ["a note"])

    found = json.loads(line)
    assert "\n" not in line
    assert (found["gateway"], found["ports"]["gateway"]) == ("http://localhost:8080", 8080)
    assert found["listeners"] == {"80": 8080, "443": 8443}
    assert (found["manifests"], found["log"], found["stop"]) == (["/a"], "/run/log", "pointsman down")
    assert (found["simulated"], found["notes"]) == (["Deployment d: 1 simulator"], ["a note"])
