"""Tests that start programs, such as the bot, the AWS CLI, Node.js and linters, or install the product from its templates."""
