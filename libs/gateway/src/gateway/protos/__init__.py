"""Protobuf message classes by full name, from the descriptor set that the build compiled out of `proto/`.

They live in a descriptor pool of their own, so that nothing here conflicts with other packages that carry Envoy's or
gRPC's definitions. Only the codecs import this; no protobuf type leaves them.
"""

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DESCRIPTORS = "descriptors.binpb"
REBUILD = "uv pip install --no-build-isolation --no-deps --editable libs/gateway"


class MissingDescriptorsError(ImportError):
    """The package was installed without running its build hook."""

    def __init__(self) -> None:
        super().__init__(f"gateway/protos/{DESCRIPTORS} is missing: run `{REBUILD}`")


def load_pool() -> descriptor_pool.DescriptorPool:
    """A private pool with every definition of `proto/`."""
    source = resources.files(__name__) / DESCRIPTORS
    if not source.is_file():
        raise MissingDescriptorsError
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(source.read_bytes()).file:
        pool.Add(file)
    return pool


def message_class(pool: descriptor_pool.DescriptorPool, name: str) -> Any:
    """The class of one message; generated at run time, hence untyped."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
