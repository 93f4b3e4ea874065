"""From `POST /api/messages` to a turn of the bot: token check, parsing, handler, replies.

Start with `endpoint.py`, then `handler.py`. Only `adapter.py` and `handler.py` use botbuilder, which
Microsoft has archived. This package must not decide anything about a request.
"""
