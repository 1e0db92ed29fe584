"""Manifests as text, read as the command reads them."""

from gateway.kube.objects import Manifests
from gateway.kube.reading.contents import Contents, entries
from gateway.kube.reading.documents import Document, documents
from gateway.kube.resolution.derived import with_derived
from gateway.kube.resolution.merging import merged
from gateway.schema.problems import Findings, Problem
from gateway.schema.yamltext import parse
from pointsman.cluster.reading import workloads_of
from pointsman.cluster.workload import Workload


def manifests_in(*texts: str) -> Manifests:
    """Each text is a folder of its own: a later one replaces objects of an earlier one."""
    problems: list[Problem] = []
    found = merged([[Contents(tuple(entries(text, "a.yaml", problems)))] for text in texts])
    assert problems == []
    assert found.problems == ()
    return with_derived(found.manifests)


def documents_in(text: str) -> tuple[Document, ...]:
    findings = Findings()
    return tuple(each for located in parse(text, "a.yaml", findings) for each in documents(located, "a.yaml", findings))


def workloads_in(text: str) -> tuple[Workload, ...]:
    found, problems = workloads_of(documents_in(text))
    assert problems == ()
    return found
