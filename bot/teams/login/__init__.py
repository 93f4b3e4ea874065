"""The bot's own token for the Connector: from a client secret, AWS federation or an Azure managed identity.

Start with `credentials.py`. This package never logs or repeats a secret. It must not know the calls that use the token.
"""
