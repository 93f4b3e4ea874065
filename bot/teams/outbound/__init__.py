"""Messages to Teams: the Connector's operations with retries, rate limits and circuit breaker.

Start with `messenger.py`, which implements `ports.teams.Chat`; `connector.py` lists the operations and `calls.py` sends
them. This package must not know why a message is sent.
"""
