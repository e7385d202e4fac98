"""Gate checks of structured reports: TID 1500, Basic Text, and statements that a series was not analysed."""
