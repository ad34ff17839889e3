-- Every domain value is one JSON document. `collection` is the name of a store::Table.
CREATE TABLE documents (
  collection TEXT NOT NULL,
  key        TEXT NOT NULL,
  document   TEXT NOT NULL,
  PRIMARY KEY (collection, key)
) WITHOUT ROWID;
