"""From a file to its emotion: decoding, the network, the song model. It knows no tags, no library and no state."""
