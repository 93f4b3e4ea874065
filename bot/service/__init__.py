"""The program's behaviour over the ports: clicks, reconciliation, the sources of work, commands, the audit trail.

Start with `assembly.py`, which builds every service. Then read `clicks/` for the path of a click, `reconcile/` for what
Teams shows. Services know ports and domain, never an SDK, HTTP, a database or the settings.
"""
