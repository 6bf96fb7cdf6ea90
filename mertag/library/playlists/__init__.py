"""Playlists by mood: of songs, for every player, and of rules, for those that keep playlists by themselves."""
