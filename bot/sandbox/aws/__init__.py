"""A simulated AWS on loopback: moto, with the simulator of just-in-time node access in front of it.

Start with `server.py`. `front.py` dispatches calls, `jit/` is the simulator, `world.py` the sample account. It must
not import the product's adapters: both sides follow AWS's documents, not each other.
"""
