"""The engine model: continuous batching, KV cache blocks and LoRA slots in virtual time, without clock or I/O."""
