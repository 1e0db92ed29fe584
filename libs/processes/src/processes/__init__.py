"""The whole stack as plain processes on one host: `make up`, `make down`, and the end-to-end tests."""
