"""What happens with granted access: whose sessions there are, and which of them the bot may end. Pure.

Start with `sessions.py`. This package must not know the row, and does not call AWS.
"""
