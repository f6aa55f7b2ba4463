"""Projects: shelves of works with one owner, who pays."""
