"""Who asks, and what that decides: keys of clients, tenants and what they may use, and the isolation of their caches.

Pure. The body-based router applies it before a route is chosen; nothing here does I/O or knows a proxy.
"""
