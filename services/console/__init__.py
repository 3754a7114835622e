"""Console: what people say of captures and weights -> siad.correction.v1, siad.command.v1.

It views siad.pseudo-mask.v1 and siad.verdict.v1, so that captures can be shown to people.
"""
