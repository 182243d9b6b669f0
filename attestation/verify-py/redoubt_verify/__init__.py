"""A second verifier of what a Redoubt appliance hands out, sharing no code with the first.

It reads the same public formats (enclave/SPEC.md) and gives refusals the same names, so
that two programs, two languages and two cryptographic libraries must agree before anybody
has to believe either of them.
"""
