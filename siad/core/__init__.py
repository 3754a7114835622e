"""Pure words and rules that every stage shares: no I/O, no clock, no randomness."""
