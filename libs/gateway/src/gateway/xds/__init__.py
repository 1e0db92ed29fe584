"""Envoy's discovery protocol (xDS) over gRPC, as far as a control plane serves it: messages, codec, server."""
