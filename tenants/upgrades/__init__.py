"""Bringing the schemas of many organisations to the version of the code that runs.

versions    which schema is at which migration: one row each in `public`, read in one query
rendering   a migration's SQL, worked out once on a draft schema
running     that SQL in every schema that lacks it, one short transaction each
"""
