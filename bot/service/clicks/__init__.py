"""From a click on a card to its answer: locate, permit, claim, wait for the outcome, answer.

Read `click_handler.py` first, then `attempt.py`: `ClickAttempt.answer` is the whole path. `claiming.py` stores the
claim; `bot.service.decisions` sends the decision. The wire formats are in `bot.teams.wire`. This package must not know
SDKs, and does not write to Teams.
"""
