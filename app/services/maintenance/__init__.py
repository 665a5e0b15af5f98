"""Work an operator or a background task does on stored data."""
