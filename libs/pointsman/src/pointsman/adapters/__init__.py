"""`pointsman adapters sync`: the LoRA adapters that servers shall have, by a file, brought about and kept so."""
