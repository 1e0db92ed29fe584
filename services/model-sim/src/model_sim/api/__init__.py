"""vLLM's HTTP API as pure functions: JSON in, a call to simulate; tokens in, bytes out."""
