"""An AWS and a Teams on this machine, for development, demonstration and tests. Loopback only."""
