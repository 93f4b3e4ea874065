"""Settings from the environment and `node-access.toml`, validated and turned into the domain's types.

Start with `settings.py`; `file_source.py` reads the TOML file, `file.py` parses it, `schema.py` defines its tables,
`types.py` checks ids and addresses, `errors.py` writes the messages, `reload.py` reads the configuration again while
the bot runs, from a file or from S3. All problems are reported together.
Only `bot.app`, `bot.cli` and `bot.stored_configuration` import this package. It must not know how a decision is made or
how a card looks.
"""
