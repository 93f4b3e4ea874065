"""Implements the port `Store`: rows, personal chats and the audit trail, in SQLite or DynamoDB.

Start with `rows.py`, which defines how rows are encoded and changed; `unrecognized.py` keeps what a newer version
stored. `sqlite/` and `dynamodb/` store the rows, and `assembly.py` chooses between the two. It must not know what a
change means, and imports neither `bot.aws` nor `bot.teams`.
"""
