"""Serves snapshots over ADS: a stream for each proxy that decides what it gets next, and the server around them."""
