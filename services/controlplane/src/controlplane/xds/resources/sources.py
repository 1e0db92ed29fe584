"""Where Envoy is told to find the resources that another one names: in a file, or where it gets all else. Pure.

The one place that knows of files; their paths are shared with the writer of the files.
"""

from types import MappingProxyType
from typing import Final

from controlplane.options import Delivery, Options
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree

# A type of which every resource is a file of its own, and the folder of those files.
FOLDERS: Final = MappingProxyType({names.SECRET_TYPE: "sds", names.ENDPOINTS_TYPE: "eds", names.ROUTES_TYPE: "rds"})


def path(type_name: str, name: str) -> str:
    """The file of a resource, relative to the folder of all."""
    return f"{FOLDERS[type_name]}/{name}.json"


def config_source(type_name: str, name: str, options: Options) -> Tree:
    """Envoy's ConfigSource for one resource."""
    if options.xds is Delivery.GRPC:
        return {"ads": {}, "resource_api_version": "V3"}
    return {
        "path_config_source": {"path": f"{options.xds_dir}/{path(type_name, name)}"},
        "resource_api_version": "V3",
    }
