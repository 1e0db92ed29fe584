"""The cluster that the suite runs in: commands in its network, and images on its node."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELM = ROOT / ".tools" / "helm" / "helm"


def run(*command: str, given: bytes | None = None) -> bytes:
    """What a program prints on standard output; standard error is shown. Raises CalledProcessError where it fails."""
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, cwd=ROOT, check=True).stdout


@dataclass(frozen=True, slots=True)
class Cluster:
    """`up` is the program that brings it up, and with `--exec` runs another in its network."""

    up: str
    containerd: str
    """Address of its node's containerd."""

    def run(self, *command: str) -> bytes:
        """Run a program in the cluster's network."""
        return run(self.up, "--exec", *command)

    def stream(self, *command: str) -> int:
        """The same with its output shown as it comes; its exit status."""
        return subprocess.run([self.up, "--exec", *command], cwd=ROOT, check=False).returncode

    def load(self, images: Sequence[str]) -> None:
        """Bring images of the engine here onto the node."""
        self._images("import", "-", given=run("docker", "save", *images))

    def tag(self, image: str, name: str) -> None:
        """Give an image of the node another name, which may be another's so far."""
        self._images("tag", "--force", image, name)

    def untag(self, name: str) -> None:
        self._images("remove", name)

    def _images(self, *arguments: str, given: bytes | None = None) -> None:
        run("ctr", "--address", self.containerd, "--namespace", "k8s.io", "images", *arguments, given=given)


def cluster() -> Cluster:
    """As the environment names it."""
    return Cluster(os.environ["CLUSTER_UP"], os.environ["CONTAINERD_ADDRESS"])
