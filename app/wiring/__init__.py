"""Which object is made of what: once per process, per caller, per operator command. The only place."""
