"""The members of Microsoft Entra groups, from Microsoft Graph.

Start with `group_members.py`, which implements `ports.teams.Groups`. This package must not decide what a member may do.
"""
