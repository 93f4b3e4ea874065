"""Node Access Bot: AWS just-in-time node access requests, decided in Microsoft Teams.

Start with `app.py`, which builds and runs the whole program; README.md in this folder explains it.
"""
