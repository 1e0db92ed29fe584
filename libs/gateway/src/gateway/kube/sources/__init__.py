"""Where objects come from: each source yields snapshots of them. Shells."""
