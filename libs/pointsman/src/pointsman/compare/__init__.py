"""`pointsman compare`: round robin and the picker side by side, on the requests that come in."""
