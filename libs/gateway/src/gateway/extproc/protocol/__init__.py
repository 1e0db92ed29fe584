"""The ext_proc protocol without I/O: its messages as plain values, and one request with its response as a machine."""
