"""Runs the whole product on one machine, for development, demonstrations and tests: the bot, simulated AWS and Teams.

Start with `sandbox.py`, which starts and stops the three; `run.py` is the command that a person types. `aws/` and
`teams/` are the simulators. Everything listens on loopback only. This package must not import the product's adapters.
"""
