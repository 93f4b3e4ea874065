"""Protocols for what the program uses outside: AWS, Teams, the store, the clock, the place of the configuration.

Start with `aws.py`. Adapters (bot.aws, bot.teams, bot.store, bot.config) and the tests' fakes implement these
Protocols, and raise only the errors that are defined here. This package must not know any adapter or SDK.
"""
