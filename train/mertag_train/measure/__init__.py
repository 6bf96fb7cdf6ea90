"""What a model is worth on songs that it has not seen."""
