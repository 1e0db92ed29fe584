"""The one strict, located reader of YAML and JSON: text becomes values, every mistake a problem with its place. Pure.

`yamltext` parses text into plain data that remembers lines, `values` and `fields` read that data field by field,
`units` reads durations and quantities, `spelling` judges names and patterns, `wording` holds the phrases of messages,
`problems` says what a place is. EndpointPickerConfig, Kubernetes manifests and the simulator's profiles are read with
it. The package knows none of their kinds and opens no file.

YAML comes from libyaml's events (`yaml.CSafeLoader`), thirteen times faster than PyYAML's own parser and bounded while
it is read: depth, values and aliases are counted before they take memory.

pydantic was considered and not taken. It adds 10 MB to each image and 0.15 s to each start. Its errors name a field
but no line, and each of its hundred messages would have to be translated to keep one wording; unknown fields come
without the nearest name, and fields that are accepted without effect have no place in it. What it would save are the
type checks of `values`, some 100 lines.
"""
