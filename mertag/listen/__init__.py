"""What hears: from a file to its emotion. It knows no tags, no library and no state."""
