"""Runs the bot with a simulated AWS and a simulated Teams on one machine, for development, demonstrations and tests.

Start with `sandbox.py`, which starts and stops the three; `run.py` is the command that a person types. `aws/` and
`teams/` are the simulators. Everything listens on loopback only. This package must not import the product's adapters.
"""
