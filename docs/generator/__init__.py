"""Generator of ``docs/reference.md``.

One module a chapter; each reads its part from the code, so that the reference can be checked against it.
"""
