"""Tests of the formats, a file a family."""
