"""Body-based router: an ext_proc server that lifts the model of an OpenAI-style body into request headers."""
