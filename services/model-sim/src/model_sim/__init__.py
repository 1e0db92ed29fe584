"""vLLM simulator: an engine model behind the API and the metrics of vLLM."""

VLLM_VERSION = "0.30.0"
"""The release whose API and metrics are simulated, as `/version` reports it."""
