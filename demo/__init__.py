"""``haltere demo``: the whole way on one machine, and whether it kept its word."""
