"""A simulated AWS on loopback: moto, and in front of it the simulator of just-in-time node access.

Start with `server.py`; `jit/` is the simulator, `faults.py` makes calls fail, `world.py` is the sample account.
It must not import the product's adapters: both sides follow AWS's documents, not each other.
"""
