"""The ext_proc transport: gRPC, every body mode."""
