"""The outside world as the services see it: small Protocols named for the domain, with closed sets of errors.

Start with `aws.py`. Adapters (bot.aws, bot.teams, bot.store) and the tests' fakes implement these Protocols, and raise
only the errors that are defined here. It must not know any adapter or SDK.
"""
