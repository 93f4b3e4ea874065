"""The program's behaviour over the ports: clicks, reconciliation, the sources of work, commands, the audit trail.

Start with `assembly.py`, which builds every service. Then read `clicks/` and `decisions/` for the path of a click, and
`reconcile/` and `deliver/` for the cards and messages in Teams. Services use the ports and the domain. They must not
know an SDK, HTTP, a database or the settings.
"""
