"""The composition root, and the shells that only it uses."""
