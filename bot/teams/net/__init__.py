"""HTTP to Microsoft: the client session, and the rules on which addresses the bot may call.

Start with `session.py`. `addresses.py` has the rules. It must not know what is sent.
"""
