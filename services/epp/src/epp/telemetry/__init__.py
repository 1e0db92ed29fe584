"""What operators measure: metrics."""
