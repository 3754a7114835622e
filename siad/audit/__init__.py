"""Accounts for every capture: the capture ledger, the dead letters and the verdicts."""
