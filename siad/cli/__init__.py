"""`siad`: everything on one machine, and the tools around it."""
