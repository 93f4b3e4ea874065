"""The HTTP server: routes, health probes and metrics.

Read `server.py`. It must not know what the handler of messages does.
"""
