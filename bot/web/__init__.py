"""The HTTP server: routes, health probes and metrics.

Read `server.py`; `probe.py` asks a running server how it is. This package must not know how messages are handled.
"""
