"""The HTTP transport: Envoy's ext_authz filter asks over plain HTTP/1.1."""
