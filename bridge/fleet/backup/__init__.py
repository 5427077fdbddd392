"""A fleet in one file, and back.

archive.py    the file: what is in it, its manifest with a hash of each, and what a file from elsewhere is not believed
volumes.py    what MCPs keep: folders of the embedded engine, volumes of Docker
database.py   the fleet's Postgres, as dumps
sealed.py     secrets, encrypted by age or gpg
"""
