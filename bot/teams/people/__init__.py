"""The members of channels, and the people who have a personal chat with the bot: rosters, paged and cached.

Start with `directory.py`, which implements `ports.teams.People`. This package must not decide what a member may do.
"""
