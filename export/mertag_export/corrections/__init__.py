"""What an owner's corrections teach the song classifier: which there are, what follows, whether it is better."""
