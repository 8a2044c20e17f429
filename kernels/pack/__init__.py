"""Pack encoder features into visual tokens by a table: crop, resample bilinearly, close rows with end vectors."""
