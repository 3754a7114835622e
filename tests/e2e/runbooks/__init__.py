"""Runbooks played through: a fault on a running machine, its alert, the commands of its page, and the end of it."""
