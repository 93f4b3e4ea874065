"""`node-access-bot doctor`: every check of the installation once, with why it matters and how to fix it.

Start with `examination.py`. The checks of `bot.service.checks` are the same that the running bot makes; this package
adds what only a command can ask: the public address, the running bot, the approval policies and the last requesters as
tables. It must not write anything that nobody asked for.
"""
