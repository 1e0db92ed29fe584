"""When each endpoint is asked for its metrics and models, and what an answer means for the next time. Pure."""
