"""From a click on a card to its answer: locate, permit, claim, wait for the turn, state check, signal, answer.

Read `click_handler.py` first, then `attempt.py`: `ClickAttempt.answer` is the whole path. `signalling.py` lets each
decision wait in `queue.py`, and only `signal_attempt.py` sends it to AWS; `held_decision.py` stores each step, and
`signal_content.py` makes the signal. The rules are in `bot.domain`, the wire formats in `bot.teams.wire`. This package
must not know SDKs, and does not write to Teams.
"""
