"""The networks that see a segment."""
