"""The body-based router as a service offers it: its conversation, metrics, embedder and flags. It starts nothing.

The process `bbr` serves it alone; a fused endpoint picker serves it beside its own service, and reads each body once.
"""
