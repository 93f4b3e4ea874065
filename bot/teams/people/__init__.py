"""Who is in a channel and who has the bot in a personal chat: rosters, cached and paged.

Start with `directory.py`, which implements `ports.teams.People`. It must not decide what a member may do.
"""
