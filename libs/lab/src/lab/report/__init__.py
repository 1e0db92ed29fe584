"""A study's answer for people and programs: tables, sentences, one HTML page, JSON."""
