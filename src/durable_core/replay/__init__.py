"""Replay: what the journal says about each step that the program asks for."""
