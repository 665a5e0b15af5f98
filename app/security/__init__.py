"""Keys, tokens, passwords and signatures: pure functions of their inputs, without a database or a web framework."""
