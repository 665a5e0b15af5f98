"""Albums: photos go in by the thousand, are processed by workers, and a selfie finds everybody's photos."""
