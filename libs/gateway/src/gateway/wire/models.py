"""What a model's name may be, and which bodies must be JSON to name one: for router and picker alike. Pure."""

# No model has a longer name, and a header that long would be refused on its way anyway.
MODEL_LIMIT = 1024


def is_model_name(model: str) -> bool:
    """Whether it can stand in headers, labels and logs. Control characters are no part of any model's name."""
    return len(model) <= MODEL_LIMIT and model.isprintable()


def is_json(content_type: str) -> bool:
    """`application/json`, `application/vnd.x+json; charset=utf-8`."""
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")
