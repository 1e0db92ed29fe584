"""One document, read; and the head of a document of any kind."""

from gateway.kube.reading.documents import documents
from gateway.kube.reading.table import read
from gateway.schema.problems import Findings
from gateway.schema.yamltext import parse


def read_one(text: str) -> tuple[object, list[str], list[str]]:
    findings = Findings()
    (document,) = (
        each for located in parse(text, "f.yaml", findings) for each in documents(located, "f.yaml", findings)
    )
    assert findings.problems == []
    found, findings = read(document), document.value.findings
    return found, [str(item) for item in findings.problems], [str(item) for item in findings.notes]


def head(kind: str, version: str = "gateway.networking.k8s.io/v1") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"


ROUTE = head("HTTPRoute")
