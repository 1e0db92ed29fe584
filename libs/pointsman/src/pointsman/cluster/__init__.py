"""A cluster's YAML on one host: what a cluster would run becomes simulators, and what they add to the manifests."""
