"""inference: image events -> verdicts. Weights are replaced without a pause in service."""
