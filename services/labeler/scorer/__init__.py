"""Application inside Ray Serve: replicas that draw pseudo-masks and fit teachers."""
