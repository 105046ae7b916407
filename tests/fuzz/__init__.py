"""Bytes that nobody meant, over every format: ``make fuzz``."""
