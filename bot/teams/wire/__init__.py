"""The Bot Framework's shapes, without I/O: activities, invokes, outgoing JSON, errors, people.

Start with `activity.py` for what comes in and `outgoing.py` for what goes out. It must not open connections or know
tokens.
"""
