"""The sources that make rows due without a click: queue events, the sweep over AWS's lists, installations.

Start with `intake.py` and `sweep.py`. A source only stores that a request must be reconciled. It must not know how that
is done, and it never writes to Teams.
"""
