"""What the documents say about errors is what the code says."""

import re
from pathlib import Path

from controlplane.xds.resources.replies import local_reply_config
from gateway.wire.errors import ErrorCode


def test_every_code_is_documented_once(root: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (root / "docs" / "errors.md").read_text(), re.MULTILINE)

    assert sorted(rows) == sorted(ErrorCode)


def test_envoys_replies_use_documented_codes_with_their_status(root: Path) -> None:
    text = (root / "docs" / "errors.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| ([0-9, ]+) \|", text, re.MULTILINE))
    mappers = local_reply_config()["mappers"]
    assert isinstance(mappers, list)

    for mapper in (each for each in mappers if each["status_code"] != 200):  # 200: the list of known models
        shape = mapper["body_format_override"]["json_format"]
        if shape.get("type") == "error":  # Anthropic's, which has no code
            continue
        error = shape["error"]
        if not error["code"].startswith("%REQ("):
            assert str(mapper["status_code"]) in documented[error["code"]]
