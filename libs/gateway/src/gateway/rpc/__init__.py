"""gRPC servers behind one small interface: a service gives handlers of calls, a transport carries their messages.

socket ─ listener ─▶ connection (pure) ─ engine (nghttp2) ─▶ streams ─ frames ─▶ a service's handler ─▶ bytes
socket ─ grpcio (grpc.aio) ──────────────────────────────────────────▶ the same handler

`calls` is the interface. `server` chooses a transport and listens. Only `engine` knows the HTTP/2 library.
"""
