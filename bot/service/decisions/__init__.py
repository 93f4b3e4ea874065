"""From a granted claim to AWS: permission, the wait for the turn, the state check, the signal.

Start with `signalling.py`, which lets each decision wait in `queue.py`. `permission_check.py` applies the rules of
`bot.domain.rules` to the person; only `signal_attempt.py` sends a decision to AWS, after `state_check.py` has read the
state there. `held_decision.py` stores each step, and `signal_content.py` makes the signal. This package must not know
SDKs, cards or the answers to clicks.
"""
