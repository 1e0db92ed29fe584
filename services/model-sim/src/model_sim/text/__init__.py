"""Text and tokens: a small reversible tokenizer and the answers a simulated model gives. Pure."""
