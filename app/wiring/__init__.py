"""Construct all services: per process, per caller, per operator command. No other code wires objects together."""
