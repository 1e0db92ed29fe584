"""The servers of both transports: sockets, gRPC, time. What is sent on them is decided in the pure packages beside."""
