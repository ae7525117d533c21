"""The monthly service review: one pack, as HTML, PDF and spreadsheet."""
