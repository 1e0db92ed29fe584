"""Envoy's gRPC access log as plain values, and the server that receives it."""
