"""A simulated Teams on loopback: sign-in, Connector, and the Playground as the client.

Start with `server.py`; `microsoft.py` signs tokens, `connector.py` and `inbound.py` are the two directions. It must not
import the product's adapters: both sides follow Microsoft's documents, not each other.
"""
