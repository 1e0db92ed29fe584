"""What objects ask for, decided: listeners, hosts, rules in order, pools with their pickers, and conditions. Pure.

`planning.plan` takes objects and gives a `Plan`. Nothing here knows a resource of Envoy; `xds` writes those.
"""
