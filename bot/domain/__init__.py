"""The rules and facts of the product: requests, decisions, identities, routes, and who may decide.

Start with `rules/permission.py` (who may decide), `rules/claims.py` (which clicks are sent to AWS) and `decision.py`
(the states of a decision). `record.py` is the row, and `shown/` computes what Teams must show. Pure: it must not know
I/O, the clock, logs, async code or any SDK.
"""
