"""A chat server between people and upstream AIs."""

__version__ = "0.2.0"
