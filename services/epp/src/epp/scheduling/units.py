"""Types of parameters that a configuration writes in a notation of its own. Pure."""

from typing import NewType

Seconds = NewType("Seconds", float)  # written as a Go duration: 200ms, 1m30s
Quantity = NewType("Quantity", int)  # written as a Kubernetes quantity: 1Gi, 500M, 1k, "100"
