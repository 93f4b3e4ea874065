"""The rules and facts of the product: requests, decisions, identities, routes, and who may decide.

Start with `permission.py` (who may decide), `claims.py` (which clicks are sent to AWS) and `decision.py` (the states of
a decision). `shown/` computes what Teams must show. Pure: it must not know I/O, the clock, logs, async code or any SDK.
"""
