"""The built-in producers: scraped engines, load, prefill, prefixes, sessions. Pure."""
