"""The pure core: functions of (state, event, now) that return decisions with reasons and touch nothing outside."""
