"""Flow control: requests wait in bands by priority and in flows by fairness id until a pool has room. Pure.

    FlowController ── Band (one priority) ── queue (one fairness id) ── heap by ordering

`controller` is the machine that the admission gate drives; `settings` holds its limits. The policies are plugins:
`fairness` and `ordering` say what is next within a band, `ceilings` how full the pool may get for each band. `eviction`
says which running requests end for more important ones. None of it reads a clock, awaits, or knows endpoints:
saturation and time are arguments.
"""
