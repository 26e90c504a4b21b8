"""The checks, by what they look at. No I/O: each goes by the evidence only."""
