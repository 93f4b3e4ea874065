"""The outside as the service layer sees it: small Protocols named for the domain, and the closed sets of their errors.

Adapters (bot.aws, bot.teams, bot.store) and the tests' fakes implement them; nothing else may raise through them.
"""
