"""Control plane: Gateway API manifests in folders become the file-based xDS that Envoy reads."""
