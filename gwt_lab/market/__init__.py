"""Facts that every clock shares: bars, time, instruments, fills and costs."""
