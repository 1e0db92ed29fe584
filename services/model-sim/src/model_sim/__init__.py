"""vLLM simulator: an engine model behind the API and the metrics of vLLM."""
