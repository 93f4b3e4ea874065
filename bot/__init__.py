"""Node Access Bot: AWS just-in-time node access requests, decided in Microsoft Teams."""
