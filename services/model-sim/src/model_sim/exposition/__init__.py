"""Prometheus text of one simulated server: vLLM's metrics, and those of its HTTP layer."""
