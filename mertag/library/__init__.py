"""What cares for the files: finding them, tags, sidecars, what is remembered, taking back. It knows no models."""
