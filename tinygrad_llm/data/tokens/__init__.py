"""Token ids on the disk, mapped into memory."""
