"""The wrapper around boto3 and botocore: blocking calls, time-outs, failures, and fields of answers.

Start with `sdk.py`; `own_credentials.py` reads the program's credentials, `failures.py` classifies errors, `fields.py`
reads the members of answers and trusts none, `models.py` names the operations and members that the program uses.
`bot.aws` and `bot.store.dynamodb` share it. It must not know what an operation does.
"""
