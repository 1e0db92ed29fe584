"""The command line: `model-sim serve MODEL …` as `vllm serve`, and `model-sim fleet …`, to settings."""
