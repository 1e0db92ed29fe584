"""The HTTP transport: one HTTP/1.1 request of Envoy's ext_authz filter is one pick. Pure; `servers` has its sockets."""
