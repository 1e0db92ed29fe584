"""Where objects come from. Shells: files, the system's resolver, later an API server; everything pure lies below."""
