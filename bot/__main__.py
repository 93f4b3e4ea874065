"""`python -m bot`: the same as `node-access-bot`."""

from bot.cli import main

if __name__ == "__main__":
    main()
