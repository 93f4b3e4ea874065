"""Calls to AWS: rate limits, threads, role sessions, circuit breaker, counters.

Start with `clients.py`. It must not know what an operation means.
"""
