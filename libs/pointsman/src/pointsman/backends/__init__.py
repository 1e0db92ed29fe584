"""Model servers that exist: from their addresses to manifests that serve them."""
