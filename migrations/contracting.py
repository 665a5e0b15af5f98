"""List the migrations that servers of the version before do not survive. All others only expand the schema.

A migration belongs here if it drops or renames what they use, or refuses what they write. `vultus migrate --plan` shows
the reasons; a test compares the list with the statements of every migration.
"""

CONTRACTING: dict[str, str] = {
    "0004": "The service may no longer change rows of tenants, and plans must exist.",
    "0005": "Every template needs a gallery, which earlier versions do not write.",
    "0015": "The primary key of templates has another column.",
    "0016": "A table, its columns and a column of collections have other names.",
    "0033": "Sightings depend on their album, no longer on their photo.",
}
