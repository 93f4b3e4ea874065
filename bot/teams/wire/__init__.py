"""The Bot Framework's JSON, without I/O: activities, clicks, outgoing messages, errors and people.

Start with `activity.py` for input and `outgoing.py` for output. This package must not open connections or know tokens.
"""
