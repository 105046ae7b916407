"""``haltere torture``: numbered messages through faults, and what became of each number."""
