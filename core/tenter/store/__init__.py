"""Where state is kept: an API database, and a database for each cell."""
