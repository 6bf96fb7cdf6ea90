"""Songs, folds, and the log-mels of their audio."""
