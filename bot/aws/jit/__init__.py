"""Just-in-time node access as AWS represents it: OpsItems, automation executions, policies, signals.

Start with `access_requests.py`, which implements `ports.aws.Requests`. Guesses that no document of AWS confirms are in
`assumptions.py` and nowhere else. It must not know Teams, rows or decisions.
"""
