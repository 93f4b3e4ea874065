"""HTTP to Microsoft: the client session, and the policy which addresses the bot may call.

Start with `session.py`. `addresses.py` holds the policy. It must not know what is sent.
"""
