"""HTTP to Microsoft: the client session, and the rules on which addresses the bot may call.

Start with `session.py`. `addresses.py` has the rules, `proxies.py` the proxies. This package must not know the content
of the calls.
"""
