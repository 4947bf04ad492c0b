"""Speed, measured side by side: ``make bench``. Tests assert behaviour; speed is looked at here."""
