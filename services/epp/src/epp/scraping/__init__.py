"""Asks model servers for metrics and models."""
