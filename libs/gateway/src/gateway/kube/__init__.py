"""Kubernetes objects as frozen values: read strictly, resolved to endpoints, taken from sources."""
