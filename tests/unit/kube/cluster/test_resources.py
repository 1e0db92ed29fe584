"""Which resources are read, where they are, and which Pods pools need."""

from gateway.kube.objects import InferencePool
from gateway.kube.reading import workloads
from gateway.kube.reading.table import READERS
from gateway.kube.sources.cluster.resources import BY_KIND, HTTP_ROUTE, POD, POOL, Selection, pods_of
from tests.unit.kube.documents import read_one

POOL_TEXT = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}, tier: gpu}}}}
  targetPorts: [{{number: 8000}}]
  endpointPickerRef: {{name: epp, port: {{number: 9002}}}}
"""


def selections(*pools: tuple[str, str]) -> tuple[Selection, ...]:
    found = [read_one(POOL_TEXT.format(namespace=namespace, name=name))[0] for namespace, name in pools]
    return pods_of(pool for pool in found if isinstance(pool, InferencePool))


def test_the_only_pool_of_a_namespace_needs_the_pods_with_its_labels() -> None:
    (found,) = selections(("models", "a"))

    assert found == Selection(POD, "models", labels=(("app", "a"), ("tier", "gpu")))
    assert found.path("v1") == "/api/v1/namespaces/models/pods"
    assert found.query == {"labelSelector": "app=a,tier=gpu"}


def test_several_pools_of_a_namespace_share_one_watch() -> None:
    assert selections(("models", "a"), ("models", "b"), ("other", "c")) == (
        Selection(POD, "models"),
        Selection(POD, "other", labels=(("app", "c"), ("tier", "gpu"))),
    )


def test_one_object_is_selected_by_its_name() -> None:
    assert Selection(POOL, "models", "a").query == {"fieldSelector": "metadata.name=a"}
    assert Selection(HTTP_ROUTE).path("v1") == "/apis/gateway.networking.k8s.io/v1/httproutes"


def test_every_resource_has_a_reader_and_every_kind_that_is_read_a_resource() -> None:
    assert BY_KIND.keys() <= READERS.keys()
    assert READERS.keys() - BY_KIND.keys() == workloads.READERS.keys(), "a cluster has their Pods"
