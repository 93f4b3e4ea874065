"""Adaptive Card templates and the words that go into them."""
