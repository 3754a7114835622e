"""Console: scores and what people say of them -> stored corrections -> siad.correction.v1.

It views siad.pseudo-mask.v1 and siad.verdict.v1, so that captures can be shown to people.
"""
