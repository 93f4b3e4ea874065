"""The ports to AWS: access requests, signals, the queue, Identity Center, secrets.

Start with `assembly.py`, which builds everything; `jit/` holds just-in-time node access, `calls/` rate limits and role
sessions. It must not know Teams, stored rows or who may decide.
"""
