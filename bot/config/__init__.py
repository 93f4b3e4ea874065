"""Settings from the environment and `node-access.toml`, validated and turned into the domain's types.

Start with `settings.py`; `file.py` reads the TOML file, `schema.py` defines its tables, `types.py` checks ids and
addresses, `errors.py` writes the messages, `reload.py` reads the file again while the bot runs. All problems are
reported together.
Only `bot.app` and `bot.cli` import this package. It must not know how a decision is made or how a card looks.
"""
