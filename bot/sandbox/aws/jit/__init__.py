"""The simulator of just-in-time node access: access requests, policies, events, operations.

Start with `requests.py`, the life of a request as pure functions; `operations.py` maps SSM's operations to it.
`assumptions.py` names what no primary source confirms. It must not know HTTP.
"""
