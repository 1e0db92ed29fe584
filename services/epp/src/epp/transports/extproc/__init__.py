"""The ext_proc transport: the Endpoint Picker Protocol in every body mode. Pure; `servers` has its gRPC server."""
