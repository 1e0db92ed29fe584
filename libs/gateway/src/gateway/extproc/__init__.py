"""Envoy's external processing (`envoy.service.ext_proc.v3`) as plain values, a sans-IO exchange and a gRPC shell.

bytes ─ codec.decode ─▶ Event ─▶ Exchange (pure) ─▶ Reply ─ codec.encode ─▶ bytes
        └───────────────────── server (grpc.aio): one RPC is one conversation ─────────────────────┘
"""
