"""From a file of any format to mono samples."""
