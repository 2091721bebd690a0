"""Objections to candidates, one file each; every module here exports `RULE`."""
