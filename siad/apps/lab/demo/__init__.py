"""`siad demo`: the whole loop on real solar cells, and a report of what happened."""
