"""How an upstream is asked for the rest of an answer, where it takes no unfinished turn of the assistant's."""

from __future__ import annotations

CONTINUE = "请从刚才中断的地方继续,不要重复。 Go on exactly where you stopped; repeat nothing."
"""The last turn, the user's, behind the unfinished answer: to the model, and to nobody else."""
