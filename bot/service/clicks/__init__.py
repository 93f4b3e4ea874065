"""From a click on a card to its answer: locate, permit, claim, state check, signal, answer.

Read `click_handler.py` first, then `attempt.py`: `ClickAttempt.answer` is the whole path. Only `signalling.py` sends
decisions to AWS, one `SignalAttempt` for each; `signal_content.py` makes the signal. The rules are in `bot.domain`, the
wire formats in `bot.teams.wire`. This package must not know SDKs, and does not write to Teams.
"""
