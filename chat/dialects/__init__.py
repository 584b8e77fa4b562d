"""One file a wire format: the same generation as other clients know it."""
