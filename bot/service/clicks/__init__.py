"""From a click on a card to its answer: permission check, claim, state check, signal.

Start with `handler.py`, then `claiming.py` and `signalling.py`. The rules are in `bot.domain`; the wire formats are in
`bot.teams.wire`. It must not know SDKs, and nothing in it writes to Teams.
"""
