"""The HTTP server: routes, health probes and metrics.

Read `server.py`. This package must not know how messages are handled.
"""
