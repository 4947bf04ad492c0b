"""What users would write instead, to be measured beside streamdet; needs nothing of streamdet's."""
