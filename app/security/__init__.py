"""Keys, tokens, passwords and signatures; nothing here uses a database or a web framework."""
