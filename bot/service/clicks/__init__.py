"""From a click on a card to its answer: locate, permit, claim, state check, signal, answer.

Read `handler.py` first, then `attempt.py`: `ClickAttempt.answer` is the whole path. `signalling.py` is alone in sending
decisions to AWS. The rules are in `bot.domain`, the wire formats in `bot.teams.wire`. This package must not know SDKs,
and nothing in it writes to Teams.
"""
