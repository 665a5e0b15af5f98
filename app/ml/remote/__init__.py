"""Find faces by the networks of an inference server: the wire, a client, and the finder that uses it."""
