"""What objects amount to together: overlays merged, endpoints of pools and Services, base models. Pure."""
