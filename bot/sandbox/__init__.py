"""The whole product on this machine, for development, demonstrations and tests: simulated AWS and Teams, the bot.

Start with `sandbox.py`, which starts and stops the three; `run.py` is the command that a person types. `aws/` and
`teams/` are the simulators. Everything listens on loopback only. It must not import the product's adapters.
"""
