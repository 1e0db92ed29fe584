"""Documents are read into objects, one module for each kind, and a table of them. Pure: text in, values out."""
