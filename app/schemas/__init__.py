"""What the wire carries, in and out; imported by routes only."""
