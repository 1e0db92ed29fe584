"""Envoy's resources as plain dicts in the JSON form of their protobuf messages, written from a plan. Pure."""
