"""Serve the networks to other hosts: stateless, without a database, without anything that is stored."""
