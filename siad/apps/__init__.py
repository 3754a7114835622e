"""Programs for people: command line, edge agent, evaluation lab, one-machine supervisor."""
