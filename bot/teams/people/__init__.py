"""Who is in a channel, and who has a personal chat with the bot: rosters, paged and cached.

Start with `directory.py`, which implements `ports.teams.People`. It must not decide what a member may do.
"""
