"""How requests and their ends reach the picker: ext_proc over gRPC, HTTP/1.1 behind ext_authz, and the access log.

`extproc`, `http` and `accesslog` are pure: events in, replies out. `servers` holds what has sockets and a clock.
"""
