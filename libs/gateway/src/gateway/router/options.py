"""The flags that choose the router's plugins and the embedder that they ask. Both services that route have them."""

import argparse
from pathlib import Path

from gateway.extproc import options as flags
from gateway.router import packages
from gateway.router.embedding import Endpoint
from gateway.router.key_files import salt_secret
from gateway.router.routers import Choice
from gateway.routing.catalogue import DEFAULT_ALIASES, Reader, default_plugins
from gateway.routing.plugin import Named
from gateway.schema.spelling import is_header_name


def add(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    group = parser.add_argument_group("how requests are routed by their bodies")
    group.add_argument("--plugin", action="append", default=[], metavar="TYPE:NAME[:JSON]",
                       help="a plugin of the chain; repeat it; they replace the default ones")  # fmt: skip
    group.add_argument("--model-header-alias", action="append", metavar="HEADER",
                       help="another header for the model, empty for none (default: "
                       f"{', '.join(DEFAULT_ALIASES)}); only without --plugin")  # fmt: skip
    group.add_argument("--embeddings-url", help="OpenAI-style endpoint that class plugins ask, with its path")
    group.add_argument("--embeddings-model", default="", help="the model to name there")
    group.add_argument("--embeddings-timeout", type=flags.seconds, default=0.1, metavar="DURATION",
                       help="how long a request may wait for it (default: 100ms)")  # fmt: skip
    access = parser.add_argument_group("who may ask")
    access.add_argument("--keys-file", type=Path, metavar="FILE",
                        help="clients with the hashes of their keys (docs/tenancy.md); others get 401")  # fmt: skip
    access.add_argument("--cache-salt-file", type=Path, metavar="FILE",
                        help="a secret of 16 bytes or more, alike in all replicas (default: a random one): tenants do "
                        "not find each other's cached prompts")  # fmt: skip


def check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """End with a usage error where a value cannot be meant."""
    strange = next((name for name in given.model_header_alias or () if name and not is_header_name(name)), None)
    if strange is not None:
        parser.error(f"--model-header-alias: not a header's name: {strange!r}")


def choice(given: argparse.Namespace) -> Choice:
    """All that was chosen. Raises PluginError, PackageError and KeyFileError."""
    return Choice(
        plugins(given),
        embedder(given),
        given.keys_file,
        salt_secret(given.cache_salt_file) if given.cache_salt_file is not None else b"",
    )


def plugins(given: argparse.Namespace) -> tuple[Named, ...]:
    """The chain: what is written, else the model and its base model. Raises PluginError and PackageError."""
    if given.plugin:
        return Reader(packages.loaded(packages.PLUGIN_GROUP), packages.loaded(packages.CLASSIFIER_GROUP)).read(
            given.plugin
        )
    aliases = DEFAULT_ALIASES if given.model_header_alias is None else given.model_header_alias
    return default_plugins([name.lower() for name in aliases if name])


def embedder(given: argparse.Namespace) -> Endpoint | None:
    """Whom class plugins ask."""
    if not given.embeddings_url:
        return None
    return Endpoint(given.embeddings_url, given.embeddings_model, given.embeddings_timeout)
