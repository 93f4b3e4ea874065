"""From `POST /api/messages` to a turn of the bot: token check, parsing, handler, replies.

Start with `endpoint.py`, then `handler.py`. The archived SDK is used in `adapter.py` and `handler.py` alone. It must
not decide anything about a request.
"""
