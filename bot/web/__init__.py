"""The HTTP server: routes, health, metrics."""
