"""From files and archives to documents."""
