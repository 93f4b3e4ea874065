"""The rules on a click: who may decide, and which clicks are sent to AWS. Pure.

Start with `permission.py` (who may decide) and `claims.py` (which clicks become decisions). `approvers.py` says who is
in a list of approvers. This package must not know the row: it gets facts and decisions.
"""
