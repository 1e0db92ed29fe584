"""Who of a pool takes part in decisions: one policy for every sign of a sick server. Pure.

`evidence` counts signs, `endpoint` is the state machine of one endpoint, `pool` bounds how many are out at a time and
compares each with the others.
"""
