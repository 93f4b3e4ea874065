"""The simulator of just-in-time node access: access requests, policies, events, operations.

Start with `requests.py`, the states of a request as pure functions; `operations.py` maps SSM's operations to them.
`assumptions.py` lists the assumptions that no document of AWS confirms. This package must not know HTTP.
"""
