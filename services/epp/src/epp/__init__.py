"""Endpoint picker: an ext_proc server that answers each request with the model server that should serve it."""
