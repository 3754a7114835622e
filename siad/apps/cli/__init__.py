"""`siad`: the commands of the command line."""
