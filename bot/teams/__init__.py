"""Microsoft Teams behind the ports Chat and People, and `POST /api/messages`. The only package that uses botbuilder.

Start with `assembly.py`, which builds everything. `wire` parses and formats JSON, `net` is HTTP, `login` gets the bot's
token, `outbound` sends messages, `people` reads rosters, `inbound` receives activities. This package must not decide
who may do what, and must not know AWS or a store's implementation.
"""
