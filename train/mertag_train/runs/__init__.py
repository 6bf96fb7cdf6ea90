"""One training run, from a data set to a folder of results."""
