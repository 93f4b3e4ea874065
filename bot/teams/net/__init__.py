"""HTTP to Microsoft: the client session, and the rules on which addresses the bot may call.

Start with `session.py`. `addresses.py` has the rules. This package must not know the content of the calls.
"""
