"""The rules and facts of the product. Pure: no I/O, no clock, no log, no async, no SDK."""
