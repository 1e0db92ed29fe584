"""Envoy's gRPC access log (`envoy.service.accesslog.v3`): entries as plain values, their codec, and the gRPC server.

bytes ─ codec.decode ─▶ LogEntry … ─ receiver ─▶ the picker's intake
"""
