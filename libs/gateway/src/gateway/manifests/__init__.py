"""Kubernetes-shaped manifests as typed values: read from folders, watched, resolved to endpoints.

Pure: `documents`, `fields`, `objects`, `reading`, `endpoints`. Shells: `load` and `watch` (files), `resolve` (DNS), and
`sources`, which joins both.
"""
