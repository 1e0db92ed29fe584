"""A plan as Envoy's configuration: typed resources, an immutable snapshot of them, its check, and ways to serve it."""
