"""inference: image events -> verdicts; weights are swapped without a pause."""
