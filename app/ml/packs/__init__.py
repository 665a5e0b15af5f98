"""Model packs: their manifest, their files, and the library that finds, installs and verifies them."""
