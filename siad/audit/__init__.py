"""Accounts for every capture: ledger, dead letters and verdicts."""
