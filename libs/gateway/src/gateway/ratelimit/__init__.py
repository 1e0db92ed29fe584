"""Envoy's rate limit service (`envoy.service.ratelimit.v3`), answered from quotas.

bytes ─ codec.decode ─▶ Descriptor … ─ QuotaGate ─▶ Decision ─ codec.encode ─▶ bytes
"""
