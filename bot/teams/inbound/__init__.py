"""From `POST /api/messages` to the bot's services: token check, parsing, handler, replies.

Start with `endpoint.py`, then `handler.py`. Only `adapter.py` and `handler.py` use botbuilder, which
Microsoft has archived. This package must not decide anything about a request.
"""
