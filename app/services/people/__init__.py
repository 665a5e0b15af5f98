"""Register, assign, export and import subjects and their stored faces, and check consent."""
