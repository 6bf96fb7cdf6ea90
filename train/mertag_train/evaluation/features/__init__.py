"""Hand-made features and embeddings of whole clips, kept on disk."""
