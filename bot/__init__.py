"""Node Access Bot: AWS just-in-time node access requests, decided in Microsoft Teams.

Start with `app.py`, which builds and runs the whole program; README.md in this folder explains it.
"""

from typing import Final

DISTRIBUTION: Final = "node-access-bot"  # as installed; also the command's name
