"""``haltere demo``: the whole way on one machine, and the ledger that says whether it kept its word."""
