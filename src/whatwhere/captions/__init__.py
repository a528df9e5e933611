"""Caption sources: where picture-caption pairs come from. One file per kind of source."""
