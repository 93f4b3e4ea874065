"""Protocols for everything that the services use outside the program: AWS, Teams, the store and the clock.

Start with `aws.py`. Adapters (bot.aws, bot.teams, bot.store) and the tests' fakes implement these Protocols, and raise
only the errors that are defined here. This package must not know any adapter or SDK.
"""
