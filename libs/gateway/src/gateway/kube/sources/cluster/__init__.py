"""A Kubernetes API server as a source of objects, by list and watch.

`reflector` (pure) decides what to ask next for one resource; `follower` asks `server` (shells); `source` puts the
objects of all resources together. What was read stays when the server is gone.
"""
