"""Let callers read events, by asking or by watching."""
