"""`python -m tests.charts [--write]`: lint the charts, render each case, compare with the files, ask an API server.

An API server is asked where `kubectl` reaches one, in the cluster of CLUSTER_UP too: what it refuses, and what it warns
of, fails. Kinds that it does not have are named.
"""

import argparse
import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.charts.cases import NAMESPACE, Case, cases

ROOT = Path(__file__).parents[2]
HELM = ROOT / ".tools" / "helm" / "helm"
# What an API server must be at least for what the charts write.
KUBERNETES = "1.33.0"
VALIDATION = "pointsman-charts"
SECONDS = 60


def main() -> None:
    """Exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser("tests.charts", description="Lint, render and validate the charts.")
    parser.add_argument("--write", action="store_true", help="write the files anew")
    write, listed = parser.parse_args().write, list(cases(ROOT))
    problems = [*(problem for case in listed for problem in checked(case, write)), *validated(listed)]
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


def checked(case: Case, write: bool) -> list[str]:
    """What is wrong with one case."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
        yaml.safe_dump(dict(case.values), values)
        values.flush()
        given = ["--kube-version", KUBERNETES, "--values", values.name, *(f"--set={word}" for word in case.set)]
        linted = run([str(HELM), "lint", "--strict", "--quiet", str(case.folder), *given])
        if linted.returncode:
            return [f"{case.name}: {linted.stdout}{linted.stderr}"]
        made = run([str(HELM), "template", case.release, str(case.folder), "--namespace", NAMESPACE, *given])
    if made.returncode:
        return [f"{case.name}: {made.stderr}"]
    text = case.head() + made.stdout
    if write:
        case.file.parent.mkdir(parents=True, exist_ok=True)
        case.file.write_text(text)
    old = case.file.read_text() if case.file.exists() else ""
    difference = difflib.unified_diff(old.splitlines(), text.splitlines(), str(case.file), "rendered", lineterm="")
    return ["\n".join(difference)] if old != text else []


def validated(listed: Sequence[Case]) -> list[str]:
    """What an API server says against the objects; nothing where none is reached."""
    kubectl = reached()
    if kubectl is None:
        print("charts: no API server is reached, so that the objects are linted and compared alone")
        return []
    run([*kubectl, "create", "namespace", VALIDATION])
    run([*kubectl, "label", "namespace", VALIDATION, "pod-security.kubernetes.io/warn=restricted"])
    try:
        kinds = served(run([*kubectl, "api-resources", "--no-headers"]).stdout)
        objects = [(case, document) for case in listed for document in case.documents()]
        asked = [(case, document) for case, document in objects if kind_of(document) in kinds]
        problems = [problem for case, document in asked if (problem := refused(kubectl, case, document))]
        missing = sorted({kind_of(document) for _, document in objects} - kinds)
        print(f"charts: the API server takes {len(asked) - len(problems)} of {len(asked)} objects, and does not have:")
        print("".join(f"  {kind}\n" for kind in missing), end="")
        return problems
    finally:
        run([*kubectl, "delete", "namespace", VALIDATION, "--wait=false"])


def refused(kubectl: Sequence[str], case: Case, document: dict[str, Any]) -> str | None:
    """What the API server says against one object: a warning is as bad as a refusal."""
    answer = run([*kubectl, "apply", "--dry-run=server", "-f", "-"], yaml.safe_dump(moved(document)))
    is_fine = answer.returncode == 0 and "Warning" not in answer.stderr
    return None if is_fine else f"{case.name}: {kind_of(document)}: {answer.stderr.strip()}"


def kind_of(document: dict[str, Any]) -> str:
    """`apps/v1 Deployment`."""
    return f"{document['apiVersion']} {document['kind']}"


def served(table: str) -> set[str]:
    """`apps/v1 Deployment` and so on, of a table of NAME, SHORTNAMES, APIVERSION, NAMESPACED and KIND."""
    rows = (line.split() for line in table.splitlines())
    return {f"{row[-3]} {row[-1]}" for row in rows if len(row) >= 4}


def moved(document: dict[str, Any]) -> dict[str, Any]:
    """An object in the namespace for validation, whose Pods are judged by the restricted standard."""
    if "namespace" in document["metadata"]:
        return document | {"metadata": document["metadata"] | {"namespace": VALIDATION}}
    return document


def reached() -> list[str] | None:
    """How to call kubectl, where that gets an answer."""
    cluster_up = os.environ.get("CLUSTER_UP", str(ROOT.parent / "shared" / "k8s" / "cluster-up"))
    for words in (["kubectl"], [cluster_up, "--exec", "kubectl"]):
        try:
            if run([*words, "version"]).returncode == 0:
                return words
        except OSError:
            continue
    return None


def run(arguments: Sequence[str], given: str = "") -> "subprocess.CompletedProcess[str]":
    """One program to its end."""
    return subprocess.run(arguments, input=given, capture_output=True, text=True, timeout=SECONDS, check=False)


if __name__ == "__main__":
    main()
