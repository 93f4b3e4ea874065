"""The wrapper around boto3 and botocore: blocking calls, time-outs, failures, and fields of answers.

Start with `sdk.py`; `failures.py` classifies errors, `fields.py` reads members out of answers defensively. `bot.aws`
and `bot.store.dynamodb` share it. It must not know what an operation does.
"""
