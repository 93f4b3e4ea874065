"""The bot's own token for the Connector: client secret, AWS federation or managed identity.

Start with `credentials.py`. Nothing in it logs or repeats a secret. It must not know what the token is used for.
"""
