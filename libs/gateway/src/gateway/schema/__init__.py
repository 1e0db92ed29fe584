"""The strict, located reader of YAML and JSON: text to values, every mistake with its place. Pure."""
