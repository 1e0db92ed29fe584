"""What two programs must agree on: names, error codes, protobuf definitions."""
