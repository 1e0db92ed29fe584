"""Transports that ask the brain: ext_proc over gRPC (`extproc`), plain HTTP (`http`)."""
