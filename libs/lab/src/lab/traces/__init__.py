"""Traces of what servers were asked for: recorded by a picker, or in the formats in which others publish theirs."""
