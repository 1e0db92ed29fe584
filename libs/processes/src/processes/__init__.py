"""A whole stack as plain processes on one host, for `pointsman up` and the end-to-end tests."""
