"""trainer: pseudo-masks -> ledger, training sets, training runs -> the segmenter a line and product have now."""
