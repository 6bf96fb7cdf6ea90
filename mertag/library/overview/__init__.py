"""What is remembered of a library, joined with what its files' tags say, and summed up."""
