"""An Envoy for each Gateway: the objects of a cluster that run it, and its way to the control plane.

`objects` is the plan: a pure function from Gateways to the objects that they are to have. `deployer`, a shell, gives it
to whoever applies it. Nothing here knows routes or pools.
"""
