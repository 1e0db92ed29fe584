"""The commands beside `up`: each module has some, as values that the command line is made of."""
