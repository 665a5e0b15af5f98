"""Who is this: recognize, verify, compare and search; stores nothing."""
