"""The HTTP server: routes, health probes and metrics.

Read `server.py`; `probe.py` reads the health of a running server. This package must not know how messages are handled.
"""
