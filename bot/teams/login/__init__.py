"""The bot's own tokens for the Connector and Microsoft Graph: by client secret, AWS federation or managed identity.

Start with `credentials.py`. This package never logs or repeats a secret. It must not know the calls that use the token.
"""
