"""Access of every stage: accounts, and the guard before the routes."""
