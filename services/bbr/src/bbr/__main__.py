"""`bbr [run] --config-dir DIR …`: the body-based router."""

import argparse
import os
import sys
from collections.abc import Sequence

from bbr import app, packages
from bbr.embedding import Endpoint
from gateway.extproc import options as flags
from gateway.routing.catalogue import DEFAULT_ALIASES, PluginError, Reader, default_plugins
from gateway.routing.plugin import Named
from gateway.rpc.server import AddressError
from gateway.rpc.tls import CertificateError
from gateway.schema.spelling import is_header_name
from gateway.service import lifecycle
from gateway.wire import ports

IGNORED = flags.BASE_IGNORED


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `run` may be left out."""
    parser = argparse.ArgumentParser("bbr", description="Body-based router: lifts the model of a body into headers.")
    parser.add_argument("command", nargs="?", choices=("run",), default="run")
    flags.add_serving(parser, grpc_port=ports.BBR_GRPC, health_port=ports.BBR_HEALTH)
    parser.add_argument("--streaming", type=flags.boolean, nargs="?", const=True, default=False,
                        help="take a proxy that does not name its body mode to stream")  # fmt: skip
    parser.add_argument("--plugin", action="append", default=[], metavar="TYPE:NAME[:JSON]",
                        help="a plugin of the chain; repeat it; they replace the default ones")  # fmt: skip
    parser.add_argument("--model-header-alias", action="append", metavar="HEADER",
                        help="another header for the model, empty for none (default: "
                        f"{', '.join(DEFAULT_ALIASES)}); only without --plugin")  # fmt: skip
    parser.add_argument("--embeddings-url", help="OpenAI-style endpoint that class plugins ask, with its path")
    parser.add_argument("--embeddings-model", default="", help="the model to name there")
    parser.add_argument("--embeddings-timeout", type=flags.seconds, default=0.1, metavar="DURATION",
                        help="how long a request may wait for it (default: 100ms)")  # fmt: skip
    flags.add_ignored(parser, IGNORED)
    parsed = parser.parse_args([*flags.spelt_today(argv)])
    flags.check(parser, parsed)
    strange = next((name for name in parsed.model_header_alias or () if name and not is_header_name(name)), None)
    if strange is not None:
        parser.error(f"--model-header-alias: not a header's name: {strange!r}")
    return parsed


def plugins(given: argparse.Namespace) -> tuple[Named, ...]:
    """The chain: what is written, else the model and its base model."""
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


def main(argv: Sequence[str] | None = None) -> None:
    """Console script."""
    given = arguments(sys.argv[1:] if argv is None else argv)
    flags.configure_logs("bbr", given)
    flags.note_ignored(given, IGNORED)
    try:
        chain = plugins(given)
    except (PluginError, packages.PackageError) as error:
        sys.exit(f"bbr: {error}")
    options = app.Options(
        listeners=flags.listeners(given),
        metrics_port=given.metrics_port,
        config_dirs=flags.config_dirs(given),
        namespace=os.environ.get("NAMESPACE") or None,
        is_streaming=given.streaming,
        plugins=chain,
        embedder=embedder(given),
    )
    try:
        lifecycle.run(lambda stopping: app.serve_until(stopping, options))
    except* (AddressError, CertificateError, OSError) as errors:
        sys.exit("\n".join(f"bbr: {error}" for error in errors.exceptions))


if __name__ == "__main__":
    main()
