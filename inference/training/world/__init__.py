"""The drawn world: its words, its renderer and the captions of its scenes."""
