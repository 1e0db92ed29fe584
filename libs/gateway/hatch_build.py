"""Compile proto/**/*.proto into one descriptor set beside the code, at every build, editable installs included."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = "src/gateway/protos/descriptors.binpb"


class DescriptorSetHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs protoc from grpcio-tools, so that no compiler has to be installed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        import grpc_tools
        from grpc_tools import protoc

        root = Path(self.root)
        sources = sorted(str(path.relative_to(root / "proto")) for path in (root / "proto").rglob("*.proto"))
        target = root / TARGET
        well_known = Path(grpc_tools.__file__).parent / "_proto"
        arguments = [f"--proto_path={root / 'proto'}", f"--proto_path={well_known}", "--include_imports"]
        status = protoc.main(["protoc", *arguments, f"--descriptor_set_out={target}", *sources])
        if status != 0:
            raise RuntimeError(f"protoc ended with status {status}")
        build_data["artifacts"].append(f"/{TARGET}")
