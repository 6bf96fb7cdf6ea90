"""What is remembered between runs, in one sqlite file."""
