"""How a segment network and a song classifier learn."""
