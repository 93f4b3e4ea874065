"""The HTTP session to Microsoft's side, and which addresses the bot may speak to.

Start with `session.py`; `addresses.py` is the address policy, which the settings share. It must not know what is sent.
"""
