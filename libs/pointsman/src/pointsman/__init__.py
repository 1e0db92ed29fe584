"""One command for the whole gateway on one host: the demo, or the model servers that you have."""
