"""Accounts for every capture: the capture ledger and the dead letters."""
