"""Implements the ports to AWS: access requests, signals, the queue, Identity Center, secrets.

Start with `assembly.py`, which builds everything; `jit/` holds just-in-time node access, `calls/` makes the calls. It
must not know Teams, stored rows or who may decide.
"""
