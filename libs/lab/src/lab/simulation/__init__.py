"""Engines in virtual time behind one policy, and what is measured of a run."""
