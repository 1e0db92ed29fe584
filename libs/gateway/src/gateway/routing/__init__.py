"""The body-based router's plugins: what a request's body says becomes headers that routes match on, or a refusal. Pure.

A `Chain` runs plugins in order over one parsed request. A plugin is a frozen value: the same request gets the same
outcome. What takes time, an embedding, is a question (`Ask`) that the chain hands out and goes on with later; no plugin
waits or does I/O. `catalogue` names the types and reads their parameters.
"""
