"""What is wrong with this installation: examinations of what it rests on, each finding with one remedy."""
