"""The bot's own token for the Connector: from a client secret, AWS federation or an Azure managed identity.

Start with `credentials.py`. It never logs or repeats a secret. It must not know what the token is used for.
"""
