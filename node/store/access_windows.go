package store

// mayChange knows nothing here: who tries it is told.
func mayChange(string) error { return nil }

func isLocked(string) bool { return false }
