"""Export of weights to a folder that judges without SIAD."""
